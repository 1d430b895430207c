"""Which faces stay: scores are measured, and filters decide by them."""
