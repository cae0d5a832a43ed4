"""Reads specs and makes plans: parsing, overrides, tasks and their content keys."""
