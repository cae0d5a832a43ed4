"""Entry point of the built-in maskers."""
