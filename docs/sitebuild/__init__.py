"""The machinery of the documentation: what runs its blocks, generates its pages and builds the site."""
