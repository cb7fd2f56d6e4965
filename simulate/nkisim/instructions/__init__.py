"""The instructions of `nki.isa`, one file each: guards, then semantics and work."""
