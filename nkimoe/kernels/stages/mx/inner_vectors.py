# SPDX-License-Identifier: Apache-2.0
"""What belongs to columns of I, beside the packed rows they are in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.expert_vectors import Vector, of_expert
from nkimoe.kernels.tensor import DType, IndexTile, Tensor
from nkimoe.planning.mx.tiling import QUARTERS, TILE, InnerTile, inner_groups
from nkimoe.planning.tiling import PARTITIONS, Span, spans


class PackedAlongInner:
    """fp32 [128, 2, tiles * 4]: of packed row p, what belongs to its column q.

    Args:
        I: columns of gate, or of up, in the tensors.
        inner: this core's packed rows.
    """

    def __init__(self, I: int, inner: Sequence[InnerTile]) -> None:
        self._I, self._inner = I, inner

    def biases(self, tensor: Tensor) -> Vector:
        """Of [E, 128, 2, n, 4]."""
        n = tensor.shape[3]

        def source(at: Span, first: InnerTile, expert: IndexTile) -> Tensor:
            pattern = [[2 * n * QUARTERS, first.rows], [n * QUARTERS, 2], [1, at.size * QUARTERS]]
            return of_expert(tensor, pattern, (first.first * 2 * n + first.tile) * QUARTERS, expert)

        return self._vector(tensor.dtype, inner_groups(self._inner), source)

    def scales(self, tensor: Tensor) -> Vector:
        """Of rows [E, 2 x I]."""

        def source(at: Span, first: InnerTile, expert: IndexTile) -> Tensor:
            pattern = [[1, first.rows], [self._I, 2], [first.width, QUARTERS]]
            return of_expert(tensor, pattern, first.tile * TILE + first.first, expert)

        return self._vector(tensor.dtype, spans(len(self._inner), 1), source)

    def _vector(
        self, dtype: DType, groups: list[Span], source: Callable[[Span, InnerTile, IndexTile], Tensor]
    ) -> Vector:
        """It is fetched as it is and converted on chip: a transfer that converts is made by software."""
        shape = (PARTITIONS, 2, len(self._inner) * QUARTERS)
        fetched, tile = (nl.ndarray(shape, dtype=each, buffer=nl.sbuf) for each in (dtype, nl.float32))
        nisa.memset(dst=fetched, value=0, engine=nisa.engine.gpsimd)  # beyond the last packed row

        def load(tile: Tensor, expert: IndexTile) -> None:
            for at in groups:
                first = self._inner[at.start]
                dst = fetched[0 : first.rows, :, at.start * QUARTERS : at.stop * QUARTERS]
                nisa.dma_copy(dst=dst, src=source(at, first, expert), oob_mode=nisa.oob_mode.skip)
            nisa.tensor_copy(dst=tile, src=fetched, engine=nisa.engine.gpsimd)

        return Vector(tile, load)
