"""Documents to pretrain on: sentences, WordPiece, pairs and masks."""
