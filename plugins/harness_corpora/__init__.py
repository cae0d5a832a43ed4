"""Built-in corpora, registered through the entry-point group ``harness``."""
