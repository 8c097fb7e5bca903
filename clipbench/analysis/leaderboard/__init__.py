"""Boards of models × tasks: merging, statistics, comparison, and what is made of them."""
