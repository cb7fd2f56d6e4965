# SPDX-License-Identifier: Apache-2.0
"""What the cores have to do for a plan, counted from the plan and the constants of the machine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nkimoe.arrays import Array
from nkimoe.choosing.block_work import block_work
from nkimoe.choosing.layer import Layer
from nkimoe.choosing.load import ExpectedBlocks
from nkimoe.choosing.row_work import ITEM, row_work
from nkimoe.choosing.work import BlocksWork, CoreWork, EngineWork, moved
from nkimoe.planning.output_forms import Clearing
from nkimoe.planning.plan import Plan
from nkimoe.planning.row_scales import rows_read
from nkimoe.planning.tiling import OUTPUT_BYTES, PARTITIONS, ceil_div
from nkisim.machine import Machine
from nkisim.timing.costs.dma_issue import indexed_issue

PARTIAL, SCALE = 4, 4  # bytes of a partial sum on its way to the other core; of a scale
BIAS_RUNS = 0.75  # descriptors of biases, for each column of I


class Counter:
    """Counts.

    Args:
        blocks: what they are expected to hold.
        layer: the same one.
    """

    def __init__(self, plan: Plan, blocks: ExpectedBlocks, layer: Layer, machine: Machine) -> None:
        self._plan, self._blocks, self._layer, self._machine = plan, blocks, layer, machine

    def cores(self) -> Iterator[CoreWork]:
        """What each core does."""
        for core in range(self._plan.problem.cores):
            unrolled, looped = self._plan.unrolled_of(core), self._looped(core)
            numbers = unrolled.first + unrolled.step * np.arange(unrolled.count)
            yield CoreWork(
                self._blocks_work(core, numbers), self._blocks_work(core, looped),
                ceil_div(len(looped), self._plan.loop_blocks), self._edges(core), self._weights(core, 1, 1),
            )  # fmt: skip

    def _looped(self, core: int) -> Array:
        """Numbers of the blocks of the loop; those that fill its last turn hold nothing."""
        plan, at_once, range_ = self._plan, self._plan.loop_blocks, self._plan.looped_of(core)
        cores = 1 if plan.halves_intermediate else plan.problem.cores
        left = max(0, self._blocks.count - plan.static_blocks)
        most = ceil_div(left, cores)
        own = most if core % cores == 0 else left // cores
        behind = most if core % cores and range_.step == 1 else 0  # HI_LO: behind those of the first core
        count = np.arange(ceil_div(most, at_once) * at_once)
        return np.where(count < own, range_.first + behind + range_.step * count, plan.problem.N)

    def _blocks_work(self, core: int, numbers: Array) -> BlocksWork:
        """The blocks with these numbers, one after another. Those that hold nothing load no weights."""
        if not len(numbers):
            return BlocksWork()
        p, t, plan = self._plan.problem, self._plan.tiling, self._plan
        experts, filled = self._blocks.of(numbers)
        parts_of_block = ceil_div(p.tiles_per_block, t.token_tiles)
        loaded = experts[numbers < p.N]
        parts, loading = len(numbers) * parts_of_block, len(loaded) * parts_of_block
        fresh = 1 + int(np.count_nonzero(loaded[1:] != loaded[:-1]))
        gate_up, down = self._pieces(core)
        every = block_work(plan, core, self._layer, self._machine).times(len(numbers))
        every = every.plus(row_work(plan, core, self._machine, float(filled.sum()), len(numbers)))
        every = every._replace(
            parts=parts, issue=parts * self._issue(core), exchanged=len(numbers) * self._exchanged(core)
        )
        later = max(0, loading - fresh)
        again = (later * (t.gate_up_tiles < gate_up), later * (t.down_tiles < down))
        first = every.times(fresh / parts).plus(self._weights(core, fresh, fresh))
        first = first.plus(self._row_scales(core).times(fresh))
        return BlocksWork(
            fresh=first._replace(gpsimd=first.gpsimd + fresh * self._biases(core)),
            steady=every.times(1 - fresh / parts).plus(self._weights(core, *again)),
        )

    def _pieces(self, core: int) -> tuple[int, int]:
        """Pieces of gate/up and of down weights that an expert has."""
        p, t, share = self._plan.problem, self._plan.tiling, self._plan.share_of(core)
        gate_up = ceil_div(share.inner.size, t.gate_up_columns) * ceil_div(p.H, t.gate_up_rows)
        return gate_up, p.H // share.written.size * ceil_div(share.written.size, t.down_columns)

    @property
    def _has_whole_rows(self) -> bool:
        """Pieces of gate and up have all columns of I, so that both lie side by side."""
        return self._plan.tiling.gate_up_columns >= self._plan.problem.I

    def _issue(self, core: int) -> float:
        """Of the queue that starts loads: of gate and up, which come at once where pieces have whole rows, and of down,
        whose rows beyond whole tiles of I come apart.
        """
        gate_up, down = self._pieces(core)
        inner, rows, m = self._plan.share_of(core).inner.size, self._plan.tiling.inner_rows, self._machine
        projections = 1 if self._has_whole_rows else 2
        transfers = projections * gate_up + down * (2 if inner > rows and inner % rows else 1)
        return transfers * (m.number("dma.issue_hwdge") + m.number("dma.dynamic_address"))

    def _weights(self, core: int, gate_up_loads: float, down_loads: float) -> EngineWork:
        """Loads of a core's share of an expert."""
        p, t, item = self._plan.problem, self._plan.tiling, self._layer.weight_bytes
        inner = self._plan.share_of(core).inner.size
        down = p.H * inner * item
        run = min(t.gate_up_columns, inner) * item * (2 * t.row_group if self._has_whole_rows else 1)
        starts = 2 * down / run * gate_up_loads + down / (min(t.down_columns, p.H) * item) * down_loads
        return moved(self._machine, down * (2 * gate_up_loads + down_loads), starts)

    def _row_scales(self, core: int) -> EngineWork:
        """Those of an expert, a descriptor for each column of I, and for each partition."""
        if not self._layer.has_row_scales:
            return EngineWork()
        share, slots = self._plan.share_of(core), self._plan.problem.B
        inner, rows = 2 * share.inner.size, rows_read(self._layer.has_biases, slots, self._plan.is_int8)
        return moved(self._machine, SCALE * (inner + rows * share.written.size), inner + PARTITIONS)

    def _biases(self, core: int) -> float:
        """Of GpSimd, for those of an expert."""
        runs = BIAS_RUNS * self._plan.share_of(core).inner.size * self._layer.has_biases
        return indexed_issue(self._machine, runs, 1, 0).ns

    def _exchanged(self, core: int) -> float:
        """A block's partial sums and transposed tokens, or half of its results."""
        p, plan = self._plan.problem, self._plan
        partial, turned = p.H - plan.share_of(core).written.size, p.H - plan.gathered_columns(core)
        nbytes = p.B * (partial * PARTIAL + turned * ITEM)
        nbytes += p.B * p.H // p.cores * OUTPUT_BYTES * plan.output.swaps_halves
        return moved(self._machine, nbytes, 0).dma

    def _edges(self, core: int) -> EngineWork:
        """Rows of the output are cleared; rows of choices, or slabs, are added."""
        p, output = self._plan.problem, self._plan.output
        written = self._plan.share_of(core).written.size
        cleared = p.rows * written * (output.clearing is not Clearing.nobody)
        if output.clearing is Clearing.together and not self._plan.halves_intermediate:
            cleared //= p.cores
        terms = self._layer.load.top_k if output.sums_choices else output.slabs
        added = p.rows * p.H / p.cores * (terms + (terms > 0))
        vector = added / PARTITIONS / self._machine.number("clock.dve")
        return moved(self._machine, (cleared + added) * OUTPUT_BYTES, 0)._replace(vector=vector)
