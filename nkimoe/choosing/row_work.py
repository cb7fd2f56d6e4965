# SPDX-License-Identifier: Apache-2.0
"""Rows that slots name: tokens that are gathered, results that are scattered, old results that these are added to."""

from __future__ import annotations

from nkimoe.choosing.work import EngineWork, moved
from nkimoe.planning.output_forms import OutputForm
from nkimoe.planning.plan import Plan
from nkimoe.planning.tiling import OUTPUT_BYTES, PARTITIONS, ceil_div
from nkisim.machine import Machine
from nkisim.timing.costs.dma_issue import indexed_issue

ITEM = 2  # bytes of token rows


def row_work(plan: Plan, core: int, machine: Machine, filled: float, blocks: int) -> EngineWork:
    """Of blocks that hold `filled` tokens; affinities, too, where pairs do not bring them."""
    problem, output = plan.problem, plan.output
    tiles = blocks * problem.tiles_per_block
    skipped = tiles * min(PARTITIONS, problem.B) - filled

    def described(width: int) -> float:
        """ns of GpSimd for rows of so many bytes."""
        runs = ceil_div(width, machine["dma.indexed_bytes"])
        return indexed_issue(machine, filled, runs, skipped).ns + tiles * machine.number("dma.issue_swdge")

    tokens = plan.gathered_columns(core) * ITEM
    widths = _result_rows(plan.share_of(core).written.size * OUTPUT_BYTES, output)
    work = moved(machine, filled * (tokens + sum(widths)), filled * (1 + len(widths)))
    results = sum(map(described, widths))
    affinities = 0.0 if output.sums_choices else described(1)  # pairs bring them
    chain = 0.0
    if output.adds_to_old:  # the rows before are there when the next ones, which may be the same, are read
        transfers = moved(machine, filled * sum(widths), filled * len(widths)).dma
        on_the_way = tiles * len(widths) * (machine.number("dma.start_swdge") + machine.number("dma.complete"))
        chain = results + transfers + on_the_way
    return work._replace(gpsimd=described(tokens) + results + affinities, chain=chain)


def _result_rows(width: int, output: OutputForm) -> list[int]:
    """Bytes of each row that is read or written for a slot, of all columns; halves are those of both cores' blocks."""
    written = [width // 2] * 2 if output.swaps_halves else [width]
    return written * 2 if output.adds_to_old else written
