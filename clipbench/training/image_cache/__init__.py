"""Training images, decoded and preprocessed once."""
