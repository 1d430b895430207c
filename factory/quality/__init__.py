"""Which faces stay: scores are measured, filters decide."""
