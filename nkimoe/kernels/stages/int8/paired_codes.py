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


def pair_bytes(columns: int) -> int:
    """Bytes of the codes of so many columns of H: whole pairs of tiles.

    >>> pair_bytes(512), pair_bytes(384)
    (512, 512)
    """
    return ceil_div(columns, PAIR * PARTITIONS) * PAIR * PARTITIONS


def write_codes(dst: Tensor, values: Tensor, factor: Tensor, group: int) -> None:
    """dst, int8 [n, `pair_bytes`], becomes codes of values [n, columns] * factor [n, 1].

    Where rows of H are in groups, neighbours are of two tiles as they are; else two tiles take turns.
    """
    if group > 1:
        nisa.activation(dst=dst, op=nl.copy, data=values, scale=factor)
        return
    n, tiles = values.shape[0], values.shape[1] // PARTITIONS
    pairs = dst.reshape((n, ceil_div(tiles, PAIR), PARTITIONS, PAIR))
    for which in range(min(tiles, PAIR)):
        own = values.reshape((n, tiles, PARTITIONS))[:, which::PAIR, :]
        nisa.activation(dst=pairs[:, 0 : own.shape[1], :, which], op=nl.copy, data=own, scale=factor)
    if tiles % PAIR:
        nisa.memset(dst=pairs[:, tiles // PAIR, :, PAIR - 1], value=0)


class PairedColumns(TokenColumns):
    """The columns of rows of such codes, as numbers.

    Args:
        dtype: of the numbers.
    """

    def __init__(self, H: int, tiling: ColumnTiling, own: Span, dtype: DType) -> None:
        super().__init__(H, tiling, own, CopiedColumns(dtype))

    def _transpose(self, row: Tensor, columns: Tensor) -> None:
        first, tiles = self._own.start // PARTITIONS, self._own.size // PARTITIONS
        elements, group = row.view(self.dtype), max(1, self._tiling.row_group // PAIR)
        for n, bank in enumerate(spans(ceil_div(tiles, PAIR), self._tiling.transposes_per_bank // PAIR)):
            turned = nl.ndarray((PARTITIONS, bank.size, row.shape[0]), dtype=self.dtype, buffer=nl.psum)
            for k in range(bank.size):
                source = elements[:, hidden_rows(bank.start + k, group)]
                nisa.nc_transpose(dst=turned[:, k, :], data=source, engine=nisa.engine.tensor)
            self._store(columns, turned, Span(first + PAIR * bank.start, min(PAIR * bank.size, tiles - PAIR * bank.start)), n)

    def _store(self, columns: Tensor, turned: Tensor, tiles: Span, n: int) -> None:
        """Each tile of a pair from its half of the elements."""
        codes = turned.view(nl.int8).reshape((*turned.shape, PAIR)).permute((0, 1, 3, 2))
        whole = tiles.size // PAIR
        dst = columns[:, tiles.start : tiles.start + PAIR * whole, :]
        if whole:
            self._inputs.store(dst.reshape((PARTITIONS, whole, PAIR, turned.shape[2])), codes[:, 0:whole], n)
        if tiles.size % PAIR:
            self._inputs.store(columns[:, tiles.stop - 1, :], codes[:, whole, 0], n)
