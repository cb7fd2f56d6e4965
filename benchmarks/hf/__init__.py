"""Every transformers family with an experts interface, at a tiny size."""
