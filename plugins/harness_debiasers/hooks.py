"""Entry point of the built-in debiasers."""
