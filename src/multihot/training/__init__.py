"""The one training loop, what surrounds it, and the runs that are built on it."""
