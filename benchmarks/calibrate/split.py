"""The split of published latencies, fixed once: constants are fitted on one half, and judged on the other."""

from __future__ import annotations

import hashlib

FIT, TEST = "fit", "test"


def key(kernel: str, microseconds: float) -> str:
    """What a row is split by, such as `attention_cte 43.000`: a number copied between configurations is one key."""
    return f"{kernel} {microseconds:.3f}"


def split_of(key: str) -> str:
    """FIT where the first byte of the key's SHA-256 is even, else TEST."""
    return FIT if hashlib.sha256(key.encode()).digest()[0] % 2 == 0 else TEST
