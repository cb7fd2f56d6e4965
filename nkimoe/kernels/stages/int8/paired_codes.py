# SPDX-License-Identifier: Apache-2.0
"""Codes of two tiles of H side by side, so that a transpose of 16-bit elements moves two, and nobody converts a row
before it: codes become numbers on their way out of PSUM, which every column takes.
"""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.token_columns import ColumnTiling, CopiedColumns, TokenColumns, hidden_rows
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div, spans

PAIR = 2  # codes in an element of the PE


class InPairs:
    """Codes of two tiles of H in turns, those of the second one zero where the number of tiles is odd.

    Args:
        group: consecutive rows of H that share a partition. Of two and more, neighbours are of two tiles as they are.
    """

    def __init__(self, group: int) -> None:
        self._group = group

    def nbytes(self, columns: int) -> int:
        """Whole pairs of tiles.

        >>> InPairs(1).nbytes(512), InPairs(1).nbytes(384)
        (512, 512)
        """
        return ceil_div(columns, PAIR * PARTITIONS) * PAIR * PARTITIONS

    def write(self, dst: Tensor, values: Tensor, factor: Tensor) -> None:
        """dst = values * factor, rounded."""
        if self._group > 1:
            nisa.activation(dst=dst, op=nl.copy, data=values, scale=factor)
            return
        n, tiles = values.shape[0], values.shape[1] // PARTITIONS
        pairs = dst.reshape((n, ceil_div(tiles, PAIR), PARTITIONS, PAIR))
        for which in range(min(tiles, PAIR)):
            own = values.reshape((n, tiles, PARTITIONS))[:, which::PAIR, :]
            nisa.activation(dst=pairs[:, 0 : own.shape[1], :, which], op=nl.copy, data=own, scale=factor)
        if tiles % PAIR:
            nisa.memset(dst=pairs[:, tiles // PAIR, :, PAIR - 1], value=0)


class Numbers(CopiedColumns):
    """What codes are. From PSUM the Scalar Engine is faster, and the Vector Engine has most to do without it."""

    def store(self, dst: Tensor, src: Tensor, n: int) -> None:
        """dst = src, the n-th from PSUM."""
        nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.scalar)


class PairedColumns(TokenColumns):
    """The columns of rows of such codes, as numbers.

    Args:
        dtype: of the numbers.
    """

    def __init__(self, H: int, tiling: ColumnTiling, own: Span, dtype: DType) -> None:
        super().__init__(H, tiling, own, Numbers(dtype))

    def _transpose(self, row: Tensor, columns: Tensor) -> None:
        first, tiles = self._own.start // PARTITIONS, self._own.size // PARTITIONS
        elements, group = row.view(self.dtype), max(1, self._tiling.row_group // PAIR)
        for n, bank in enumerate(spans(ceil_div(tiles, PAIR), self._tiling.transposes_per_bank // PAIR)):
            turned = nl.ndarray((PARTITIONS, bank.size, row.shape[0]), dtype=self.dtype, buffer=nl.psum)
            for k in range(bank.size):
                source = elements[:, hidden_rows(bank.start + k, group)]
                nisa.nc_transpose(dst=turned[:, k, :], data=source, engine=nisa.engine.tensor)
            at = PAIR * bank.start
            self._store(columns, turned, Span(first + at, min(PAIR * bank.size, tiles - at)), n)

    def _store(self, columns: Tensor, turned: Tensor, tiles: Span, n: int) -> None:
        """Each tile of a pair from its half of the elements."""
        codes = turned.view(nl.int8).reshape((*turned.shape, PAIR)).permute((0, 1, 3, 2))
        whole = tiles.size // PAIR
        dst = columns[:, tiles.start : tiles.start + PAIR * whole, :]
        if whole:
            self._inputs.store(dst.reshape((PARTITIONS, whole, PAIR, turned.shape[2])), codes[:, 0:whole], n)
        if tiles.size % PAIR:
            self._inputs.store(columns[:, tiles.stop - 1, :], codes[:, whole, 0], n)
