"""Packages of other people whose own tests run their kernels on nkisim: `make foreign`."""
