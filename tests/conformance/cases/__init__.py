"""Cases written here, for kernels that come without a test module of their own."""
