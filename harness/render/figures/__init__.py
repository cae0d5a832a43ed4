"""Figures of a run, drawn once by matplotlib: for the page, for files, for notebooks."""
