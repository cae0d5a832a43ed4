"""Console output with rich."""
