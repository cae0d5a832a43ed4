"""Carrying out a plan: units of work, workers, executors, progress."""
