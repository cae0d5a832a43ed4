"""A plugin-based benchmark harness for cross-domain bias mitigation in language models."""

__version__ = "0.1.0"
