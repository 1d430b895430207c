"""People who never existed, as path-traced heads with known truth for every image."""
