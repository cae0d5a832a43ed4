"""Built-in models, registered through the entry-point group ``harness``."""
