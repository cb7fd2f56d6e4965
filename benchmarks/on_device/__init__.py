"""Kernels and probes on a real device, in five steps: see README.md."""
