"""Entry point of the built-in models."""
