"""Tables of label cells that may be wrong, and copies of files with corrected ones."""
