"""Which columns hold what, and how a cell becomes a text, an id or labels."""
