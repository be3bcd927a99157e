"""One module for each thing that users ask for: train, evaluate, decide, compare ..."""
