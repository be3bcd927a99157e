"""Read, check, split and batch texts and labels."""
