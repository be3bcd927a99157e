"""What makes torch faster on CPUs."""
