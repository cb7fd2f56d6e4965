"""What is decided before the first instruction: request -> problem -> rules -> tiling -> plan."""
