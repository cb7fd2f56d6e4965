"""The static schedule: every block of the core, unrolled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nkimoe.kernels.layer import Layer
from nkimoe.kernels.stages.load_routing import BlockRouting, Part

Program = Callable[[Part, Part | None, Layer], None]
"""Processes a part of a block, and starts the loads of the part that follows it."""


def run_static(layer: Layer, program: Program) -> Any:
    """Process all blocks in order and return the output."""
    run_blocks(layer.blocks(layer.share.blocks.count), None, layer, program)
    return layer.finish()


def run_blocks(blocks: Iterator[BlockRouting], afterwards: Part | None, layer: Layer, program: Program) -> None:
    """Process blocks in order. `afterwards` follows the last part."""
    parts = (part for block in blocks for part in layer.parts_of(block))
    now = next(parts, None)
    layer.start(now)
    while now is not None:
        following = next(parts, None)
        program(now, following or afterwards, layer)
        now = following
