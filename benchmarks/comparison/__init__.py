"""nkimoe's kernels next to nki-library's, on the same inputs and the same machine file."""
