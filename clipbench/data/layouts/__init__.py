"""Raw layouts of published data sets, one per file."""
