"""Data sets: pins, where files are found, fetching, readers, domains, term lists, sampling."""

from harness.data.pins import Pin, PinnedFile, Row, verified
from harness.data.places import DataStore, user_cache

__all__ = ["DataStore", "Pin", "PinnedFile", "Row", "user_cache", "verified"]
