"""What is in data files: lengths, label statistics, duplicates, warnings."""
