# SPDX-License-Identifier: Apache-2.0
"""The gradient of the affinities: one number a slot, summed over I."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.backward.routing import BackwardStep
from nkimoe.kernels.backward.zeros import Zeros, clear_rows
from nkimoe.kernels.stages.output_rows import ZERO_COLUMNS
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.backward.plan import BackwardPlan
from nkimoe.planning.tiling import PARTITIONS


class AffinityGradient:
    """What passes over other columns of I contributed stays on chip."""

    def __init__(self, plan: BackwardPlan, target: Tensor, slots: int) -> None:
        p = plan.problem
        self._target, self._real = target, p.T * p.E
        self._table: Tensor | None = None
        if len(plan.tiling.slices(p.I)) > 1:
            self._table = nl.ndarray((PARTITIONS, slots), dtype=nl.float32, buffer=nl.sbuf)

    def clear(self, zeros: Zeros) -> None:
        """Zero for every pair of a token and an expert, before any core writes."""
        clear_rows(_as_rows(self._target), zeros)
        if nl.num_programs(0) > 1:
            nisa.core_barrier(data=self._target, cores=(0, 1))

    def add(self, step: BackwardStep, tile: int, term: Tensor) -> None:
        """The part of a tile of slots that comes from some columns of I, fp32 [128, 1]; written when complete."""
        column = step.part.tiles.start + tile
        if self._table is not None:
            at = step.block.at.start + column
            so_far = self._table[:, at : at + 1]
            if step.inner.start == 0:
                nisa.tensor_copy(dst=so_far, src=term)
            else:
                nisa.tensor_tensor(dst=so_far, data1=so_far, data2=term, op=nl.add)
            term = so_far
        if step.is_final:
            rounded = nl.ndarray((PARTITIONS, 1), dtype=self._target.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(dst=rounded, src=term)
            pairs = self._target.reshape((int(self._target.shape[0]), 1))[0 : self._real, :].ap(
                pattern=[[1, PARTITIONS], [1, 1]],
                vector_offset=step.block.rows[:, column : column + 1],
                indirect_dim=0,
            )
            nisa.dma_copy(dst=pairs, src=rounded, oob_mode=nisa.oob_mode.skip)


def _as_rows(column: Tensor) -> Tensor:
    """A column as rows of the greatest length up to ZERO_COLUMNS that divides it."""
    size = int(column.shape[0])
    width = next(n for n in range(min(ZERO_COLUMNS, size), 0, -1) if size % n == 0)
    return column.reshape((size // width, width))
