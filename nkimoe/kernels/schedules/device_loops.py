# SPDX-License-Identifier: Apache-2.0
"""Loops on the device. The body is traced once: what it needs from one iteration to the next lies in tiles."""

from __future__ import annotations

import nki.language as nl

from nkimoe.kernels.block_program import PROGRAMS, complete
from nkimoe.kernels.layer import ForwardLayer
from nkimoe.kernels.schedules.static import run_blocks
from nkimoe.kernels.stages.load_routing import BlockRouting, Part
from nkimoe.kernels.stages.loop_routing import AHEAD, LoopRouting, LoopTables
from nkimoe.kernels.tensor import Register, Tensor


def run_static_then_dynamic(layer: ForwardLayer) -> Tensor | tuple[Tensor, ...]:
    """Unroll the first blocks, whatever they hold; then loop over the others, as many as `conditions` says.

    The loop's first block starts loading during the last unrolled block, and each following one during the block
    before it, as in the unrolled part; its tables are there by then. Behind the last one blocks without tokens are
    loaded. Both cores loop equally often.
    """
    plan, core = layer.plan, nl.program_id(0)
    unrolled = plan.unrolled_of(core).count
    if plan.static_blocks == plan.problem.N:
        run_blocks(layer.blocks(unrolled), None, layer)
        return layer.finish()
    layer.checkpoints.clear(plan.cleared_by(core))
    tables = LoopTables(layer.request, plan, core)
    now, following, after = (LoopRouting(tables, layer.scaling, layer.routing.out_of_bounds) for _ in range(1 + AHEAD))
    now.load(None)
    now.load_affinities(None)
    following.load(None, ahead=1)
    entry, second = [*_parts(now.blocks, layer), *_parts(following.blocks, layer)][:2]
    if unrolled:
        run_blocks(layer.blocks(unrolled), entry, layer)
    else:
        layer.start(entry)
        layer.keep_pace()
    layer.token_rows.gather(second)

    def body(iteration: Register) -> None:
        layer.output.rewind()
        after.load(iteration, AHEAD)
        following.load_affinities(iteration, ahead=1)
        parts = _parts(now.copies(), layer)
        ahead = [*parts, *_parts(following.blocks, layer), *_parts(after.blocks, layer)]
        layer.token_rows.hold(ahead[1])
        program, begun = PROGRAMS[plan.numerics], None
        for part, next_part, part_after in zip(parts, ahead[1:], ahead[2:], strict=False):
            begun = program(part, next_part, part_after, begun, layer)
        complete(begun, layer)
        now.take(following)
        following.take_tables(after)

    nl.fori_loop(0, tables.blocks.iterations, body)
    return layer.finish()


def _parts(blocks: list[BlockRouting], layer: ForwardLayer) -> list[Part]:
    return [part for block in blocks for part in layer.parts_of(block)]
