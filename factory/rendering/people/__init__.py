"""Who rendered people are: all traits from a number."""
