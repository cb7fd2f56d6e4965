"""Device code of operations without experts' weights. Imports only `nki`, as all kernels."""
