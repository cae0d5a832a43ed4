"""Built-in maskers, registered through the entry-point group ``harness``."""
