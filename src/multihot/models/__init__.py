"""Encoders, heads, losses and packed execution; torch."""
