"""Studies: a paper's runs, tables and figure as one file, done by one command."""
