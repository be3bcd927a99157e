"""Token ids in, logits out: one module per runtime."""
