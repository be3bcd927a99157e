"""One file that shows how good a model is, label by label, and what is in the data."""
