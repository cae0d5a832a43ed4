"""Scoring token rows: packing, prefix trees, the forward pass and the output layer."""
