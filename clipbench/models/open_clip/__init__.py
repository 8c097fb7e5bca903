"""open_clip models: names, files of weights, and the adapter."""
