"""Redoing parts of a stored run: refitting, rescoring, exporting a model, verifying."""
