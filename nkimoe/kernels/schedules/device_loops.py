"""Loops on the device. The body is traced once: what it needs from one iteration to the next lies in tiles."""

from __future__ import annotations

from typing import Any

import nki.language as nl

from nkimoe.kernels.layer import Layer
from nkimoe.kernels.schedules.static import Program, run_blocks
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.loop_routing import LoopRouting, LoopTables


def run_static_then_dynamic(layer: Layer, program: Program) -> Any:
    """Unroll the first blocks, whatever they hold; then loop over the others, as many as `conditions` says.

    The loop's first block starts loading during the last unrolled block, and each following one during the block
    before it, as in the unrolled part. Behind the last one a block without tokens is loaded. Both cores loop equally
    often.
    """
    plan, core = layer.plan, nl.program_id(0)
    unrolled = plan.unrolled_of(core).count
    if plan.static_blocks == plan.problem.N:
        run_blocks(layer.blocks(unrolled), None, layer, program)
        return layer.finish()
    layer.checkpoints.clear(plan.cleared_by(core))
    tables = LoopTables(layer.request, plan, core)
    now, following = (LoopRouting(tables, layer.scaling, layer.routing.out_of_bounds) for _ in range(2))
    now.load(None)
    entry = _parts(now, layer)[0]
    if unrolled:
        run_blocks(layer.blocks(unrolled), entry, layer, program)
    else:
        layer.start(entry)

    def body(iteration: Any) -> None:
        layer.output.rewind()
        following.load(iteration, ahead=1)
        parts = [*_parts(now, layer), _parts(following, layer)[0]]
        for part, next_part, after in zip(parts, parts[1:], [*parts[2:], None], strict=False):
            program(part, next_part, after, layer)
        now.take(following)

    nl.fori_loop(0, tables.blocks.iterations, body)
    return layer.finish()


def _parts(routing: LoopRouting, layer: Layer) -> list[Part]:
    return [part for block in routing.blocks for part in layer.parts_of(block)]
