"""nkimoe model: the prefill of a whole model on one layout of ranks."""
