"""Texts computed one after the other without padding, proven equal to each alone."""
