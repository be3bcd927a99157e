"""Encoders, heads and losses (torch)."""
