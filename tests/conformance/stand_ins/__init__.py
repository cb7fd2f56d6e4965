"""Stand-ins for modules the public kernels and their tests import and only AWS has."""
