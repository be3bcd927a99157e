"""Logits to scores to labels, and how that is fitted; numpy only."""
