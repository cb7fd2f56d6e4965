# SPDX-License-Identifier: Apache-2.0
"""Rows that slots name: tokens that are gathered, results that are scattered, old results that these are added to."""

from __future__ import annotations

from nkimoe.choosing.work import EngineWork, moved
from nkimoe.planning.plan import ACCUMULATED, BY_CHOICE, HALVES, SHARED, SLABS, SLABS_RETURNED, Plan
from nkimoe.planning.shares import QUARTERS
from nkimoe.planning.tiling import OUTPUT_BYTES, PARTITIONS, ceil_div
from nkisim.machine import Machine
from nkisim.timing.costs.dma_issue import indexed_issue

ITEM = 2  # bytes of token rows
READ_AGAIN = (ACCUMULATED, SHARED, HALVES, SLABS, SLABS_RETURNED)
"""Outputs whose rows are cleared first, read, added to and written."""


def row_work(plan: Plan, core: int, machine: Machine, filled: float, blocks: int) -> EngineWork:
    """Of blocks that hold `filled` tokens; affinities, too, where pairs do not bring them."""
    share, problem, output = plan.share_of(core), plan.problem, plan.output
    tiles = blocks * problem.tiles_per_block
    skipped = tiles * min(PARTITIONS, problem.B) - filled

    def described(width: int) -> float:
        """ns of GpSimd for rows of so many bytes."""
        runs = ceil_div(width, machine["dma.indexed_bytes"])
        return indexed_issue(machine, filled, runs, skipped).ns + tiles * machine.number("dma.issue_swdge")

    tokens = share.gathered.size * ITEM * (QUARTERS if plan.variant.is_mx else 1)
    widths = _result_rows(share.written.size * OUTPUT_BYTES, output)
    work = moved(machine, filled * (tokens + sum(widths)), filled * (1 + len(widths)))
    results = sum(map(described, widths))
    affinities = described(1) if output != BY_CHOICE else 0.0
    chain = 0.0
    if output in READ_AGAIN:  # the rows before are there when the next ones, which may be the same, are read
        transfers = moved(machine, filled * sum(widths), filled * len(widths)).dma
        on_the_way = tiles * len(widths) * (machine.number("dma.start_swdge") + machine.number("dma.complete"))
        chain = results + transfers + on_the_way
    return work._replace(gpsimd=described(tokens) + results + affinities, chain=chain)


def _result_rows(width: int, output: str) -> list[int]:
    """Bytes of each row that is read or written for a slot, of all columns; halves are those of both cores' blocks."""
    written = [width // 2] * 2 if output == HALVES else [width]
    return written * 2 if output in READ_AGAIN else written
