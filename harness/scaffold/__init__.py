"""Writing the files of a new third-party plugin package."""
