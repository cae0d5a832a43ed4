"""Built-in evaluators, registered through the entry-point group ``harness``."""
