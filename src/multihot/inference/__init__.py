"""The model directory, and texts to scores to labels."""
