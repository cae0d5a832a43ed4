"""Entry point of the built-in evaluators."""
