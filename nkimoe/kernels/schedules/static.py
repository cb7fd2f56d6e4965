# SPDX-License-Identifier: Apache-2.0
"""The static schedule: every block of the core, unrolled."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from nkimoe.kernels.block_program import PROGRAMS, complete
from nkimoe.kernels.layer import ForwardLayer
from nkimoe.kernels.stages.load_routing import BlockRouting, Part
from nkimoe.kernels.tensor import Tensor


def run_static(layer: ForwardLayer) -> Tensor | tuple[Tensor, ...]:
    """Process all blocks in order and return the output."""
    run_blocks(layer.blocks(layer.share.blocks.count), None, layer)
    return layer.finish()


def run_blocks(blocks: Iterator[BlockRouting], afterwards: Part | None, layer: ForwardLayer) -> None:
    """Process blocks in order. `afterwards` follows the last part."""
    parts = (part for block in blocks for part in layer.parts_of(block))
    window = list(islice(parts, 1))
    layer.start(window[0] if window else None)
    window += islice(parts, 1)
    for second in window[1:]:
        layer.token_rows.gather(second)
    program, begun = PROGRAMS[layer.plan.numerics], None
    while window:
        window += islice(parts, 3 - len(window))
        now = window.pop(0)
        following, after = (*window, afterwards, None)[:2]
        begun = program(now, following, after, begun, layer)
    complete(begun, layer)
    layer.keep_pace()
