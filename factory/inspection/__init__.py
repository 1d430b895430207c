"""A look at any dataset of faces before anything is made of it."""
