"""How well a clock does: by family, and by half of the split."""
