"""From samples to similarities: batching, read-ahead, the journal, and features kept for images that return."""
