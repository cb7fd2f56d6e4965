"""Which files of a folder of checkouts have kernels of NKI 0.1."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

_KERNEL = re.compile(r"nki\.jit|nki_jit|nl\.load|baremetal|nisa\.|nki\.benchmark|simulate_kernel")


def kernel_files(checkouts: Path) -> Iterator[Path]:
    """Files that import `neuronxcc` and have device code, those with the same text once."""
    seen: set[str] = set()
    for file in sorted(checkouts.rglob("*.py")):
        text = file.read_text("utf-8", errors="replace")
        if "neuronxcc" in text and _KERNEL.search(text):
            digest = hashlib.sha256(text.encode()).hexdigest()
            if digest not in seen:
                seen.add(digest)
                yield file
