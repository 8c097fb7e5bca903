"""What repaints a photograph inside a mask: drawn, classic, diffusion."""
