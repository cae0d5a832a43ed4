"""Built-in debiasers, registered through the entry-point group ``harness``."""
