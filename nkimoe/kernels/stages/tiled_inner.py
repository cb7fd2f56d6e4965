# SPDX-License-Identifier: Apache-2.0
"""What belongs to columns of I, on the partitions that compute them."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.expert_vectors import LoadVector, Vector, behind_weights, of_expert, row_tiles
from nkimoe.kernels.tensor import IndexTile, Tensor
from nkimoe.planning.plan import Plan
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import PARTITIONS, ceil_div


class TiledAlongInner:
    """fp32 [128, 2, tiles]: what belongs to column i is on partition i % `Tiling.inner_rows`.

    Args:
        load: how they come.
    """

    def __init__(self, plan: Plan, share: Share, load: LoadVector = behind_weights) -> None:
        self._I, self._inner, self._rows, self._load = plan.problem.I, share.inner, plan.tiling.inner_rows, load

    def biases(self, tensor: Tensor) -> Vector:
        """Of rows [E or 1, 2 x I], cast to fp32 on the way."""
        return self._vector(tensor)

    def scales(self, tensor: Tensor) -> Vector:
        """Likewise."""
        return self._vector(tensor)

    def factors(self, tensor: Tensor) -> Vector:
        """Of rows [E, I], what multiplies act(gate) * up: fp32 [128, 1, tiles]."""
        return self._vector(tensor, 1)

    def _vector(self, tensor: Tensor, halves: int = 2) -> Vector:
        I, start = self._I, self._inner.start

        def load(tile: Tensor, expert: IndexTile) -> None:
            for first, rows, count in row_tiles(self._inner.size, self._rows):
                pattern = [[1, rows], [I, halves], [self._rows, count]]
                source = of_expert(tensor, pattern, start + first * self._rows, expert)
                dst = tile[0:rows, :, first : first + count]
                self._load(dst, source, tensor)

        shape = (PARTITIONS, halves, ceil_div(self._inner.size, PARTITIONS))
        tile = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=tile, value=0)  # beyond the last row of I
        return Vector(tile, load)
