"""What is checked of files from elsewhere before any library sees them."""
