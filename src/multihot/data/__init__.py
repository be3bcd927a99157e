"""Texts and labels: reading, checking, splitting, tokenising and batching; no torch."""
