"""Numbers from the literature, as data, each with its source."""
