"""The embedded world: drawn scenes with captions, and the small model that was trained on it."""
