"""Saving checkpoints and merging adapters and projections into weights."""
