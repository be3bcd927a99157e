"""Checkpoints that other tools wrote: what they are, what is wrong with them, how they are put right."""
