"""Public NKI kernels, unmodified, run on nkisim against their own references."""
