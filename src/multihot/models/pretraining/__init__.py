"""Masked-language-model and next-sentence heads, their loss and checkpoints."""
