"""Other people's kernels of NKI 0.1 on nkisim.legacy: which run, and match their own tests or NumPy."""
