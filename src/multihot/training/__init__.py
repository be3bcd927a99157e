"""The training loop and what it needs: optimiser, checkpoints, log."""
