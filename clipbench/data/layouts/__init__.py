"""Raw layouts of published datasets, one per file."""
