"""One module a file format: rows of cells with their lines, read strictly."""
