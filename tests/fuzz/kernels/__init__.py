"""Random legal kernels beside what they mean in NumPy."""
