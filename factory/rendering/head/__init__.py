"""The head model, its shapes and its surface."""
