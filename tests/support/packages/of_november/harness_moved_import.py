"""Imports a module from where it was before commit aee1f52 was followed by the new layout."""

from harness.domains import DOMAINS  # noqa: F401
