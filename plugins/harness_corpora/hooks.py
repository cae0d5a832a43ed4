"""Entry point of the built-in corpora."""
