"""The static schedule: every block of the core, unrolled, the next part's loads issued before this part's compute."""

from __future__ import annotations

from typing import Any

from nkimoe.kernels.block_programs.dense_on_block import compute, fetch
from nkimoe.kernels.layer import Layer


def run_static(layer: Layer) -> Any:
    """Process all parts in order and return the output."""
    parts = layer.parts()
    layer.output.begin()
    fetched = [fetch(part, layer) for part in parts[:1]]
    for i, part in enumerate(parts):
        fetched += [fetch(following, layer) for following in parts[i + 1 : i + 2]]
        compute(part, fetched.pop(0), layer)
    return layer.output.finish()
