"""What every layer uses: labels, options, goals, files, seeds, progress; no torch."""
