# SPDX-License-Identifier: Apache-2.0
"""Products of few tokens: the PE, cut by its columns, multiplies them with several parts of the weights at a time."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.contract import matmuls
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.grouped_gemm.choice import SLOT_STEP
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div, spans


class ColumnTiledSum:
    """A sum [tokens, columns] in fp32; the order of its terms, and so each bit, is that of `PsumSum`.

    A matmul takes as long for 32 tokens as for 128. But 32 of them are on a quarter of the PE's columns, and the
    quarters run side by side: each with another quarter of the weights' columns.

    Args:
        tokens: up to 64.
    """

    def __init__(self, tokens: int, columns: int) -> None:
        self._tile = ceil_div(tokens, SLOT_STEP) * SLOT_STEP
        self._tokens, self._columns = tokens, columns
        self._parts = spans(columns, ceil_div(columns, PARTITIONS // self._tile))
        self._data: Tensor = nl.ndarray((PARTITIONS, self._parts[0].size), dtype=nl.float32, buffer=nl.psum)

    def add(self, stationary: Tensor, moving: Tensor, rows: Span) -> None:
        for n, step in enumerate(matmuls(rows.size, 1)):
            for i, part in enumerate(self._parts):
                nisa.nc_matmul(
                    dst=self._place(i),
                    stationary=stationary[0 : step.rows, step.tiles, :],
                    moving=moving[0 : step.rows, step.tiles, part.slice],
                    accumulate=rows.start + n > 0,
                    tile_position=(0, i * self._tile),
                    tile_size=(PARTITIONS, self._tile),
                )

    def total(self) -> Tensor:
        """In SBUF, where all columns of a token share a partition again."""
        total: Tensor = nl.ndarray((self._tokens, self._columns), dtype=nl.float32, buffer=nl.sbuf)
        for i, part in enumerate(self._parts):
            nisa.tensor_copy(dst=total[:, part.slice], src=self._place(i), engine=nisa.engine.vector)
        return total

    def _place(self, i: int) -> Tensor:
        """[tokens, columns] of part i."""
        first = i * self._tile
        return self._data[first : first + self._tokens, 0 : self._parts[i].size]
