"""What is made of results: comparisons, recomputed metrics, contact sheets, trade-offs, leaderboards."""
