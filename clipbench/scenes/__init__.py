"""A synthetic dataset of drawn scenes with captions, and the small model that was trained on it."""
