"""Loops on the device. The body is traced once: what it needs from one iteration to the next lies in tiles."""

from __future__ import annotations

from typing import Any

import nki.language as nl

from nkimoe.kernels.layer import Layer
from nkimoe.kernels.schedules.static import Program, run_blocks
from nkimoe.kernels.stages.loop_routing import ROUTINGS, count_blocks
from nkimoe.tiling import Span


def run_static_then_dynamic(layer: Layer, program: Program) -> Any:
    """Unroll the first blocks, whatever they hold; then loop over the others, as many as `conditions` says.

    The loop's first block starts loading during the last unrolled block, and each following one during the block
    before it, as in the unrolled part. Behind the last one a block is loaded that nobody computes. Cores that take
    turns loop equally often: the second one may compute a block without tokens.
    """
    p, core, first = layer.problem, nl.program_id(0), layer.plan.static_blocks
    unrolled, looped = layer.plan.unrolled_of(core).count, layer.plan.looped_of(core)
    layer.checkpoints.clear(Span(first, p.N - first))
    if first == p.N:
        run_blocks(layer.blocks(unrolled), None, layer, program)
        return layer.finish()
    routing = ROUTINGS[looped.step]
    now, following = (routing(layer.request, p, layer.scaling, layer.routing.out_of_bounds) for _ in range(2))
    now.load(looped.first, layer.routing.experts[:, unrolled - 1 : unrolled] if unrolled else None)
    entry = layer.parts_of(now.block)[0]
    if unrolled:
        run_blocks(layer.blocks(unrolled), entry, layer, program)
    else:
        layer.start(entry)

    def body(_: Any) -> None:
        layer.output.rewind()
        following.load_after(now)
        parts = [*layer.parts_of(now.block), layer.parts_of(following.block)[0]]
        for part, next_part, after in zip(parts, parts[1:], [*parts[2:], None], strict=False):
            program(part, next_part, after, layer)
        now.take(following)

    nl.fori_loop(0, count_blocks(layer.request.conditions, layer.plan.looped_of(0)), body)
    return layer.finish()
