"""Results on disk: cells, records, items, the run index, locking."""
