"""Random kernels, requests, damages and interrupts: `make fuzz`."""
