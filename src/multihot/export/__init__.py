"""A trained network in the forms that other runtimes read."""
