"""Statistics and tables: everything that is computed from a stored run, without a model."""
