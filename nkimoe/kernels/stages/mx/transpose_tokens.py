# SPDX-License-Identifier: Apache-2.0
"""Token rows to MX operands: packed rows of H on partitions."""

from __future__ import annotations

from collections.abc import Iterable

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.exchange import share_tokens
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.inputs import MxInputs
from nkimoe.kernels.stages.mx.operands import MxOperand
from nkimoe.kernels.stages.token_columns import ColumnTiling
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.mx.tiling import QUARTERS, TILE
from nkimoe.planning.tiling import PARTITIONS, Span, spans


class PackedTokenColumns:
    """The tokens of one part as an operand [128, H/512, tokens]: partition p of tile h holds columns
    q * H/4 + h * 128 + p of H.

    There is one tile: the next part's tokens move in as soon as this part's gate and up projections are through, and
    are transposed and quantised while the activation is computed.
    """

    def __init__(self, H: int, tiling: ColumnTiling, own: Span, inputs: MxInputs) -> None:
        self._own, self._inputs = own, inputs
        self._at_once = tiling.transposes_per_bank // QUARTERS
        self._tile = self._inputs.room(H // TILE, tiling.token_tiles * PARTITIONS)

    def turn(self, rows: Iterable[Tensor]) -> None:
        """Transpose and quantise tiles [128 tokens, own columns of each quarter of H]."""
        count = 0
        for row in rows:
            self._transpose(row, slice(count, count + row.shape[0]))
            count += row.shape[0]
        for tile in self._tile:
            share_tokens(tile[:, :, 0:count], self._own)

    def of(self, part: Part) -> MxOperand:
        """The columns of the part that was transposed last."""
        return self._tile.part(slice(None), slice(None), slice(0, part.slots))

    def _transpose(self, row: Tensor, tokens: slice) -> None:
        count, first = row.shape[0], self._own.start // PARTITIONS
        for bank in spans(self._own.size // PARTITIONS, self._at_once):
            turned: Tensor = nl.ndarray((PARTITIONS, bank.size, QUARTERS, count), dtype=row.dtype, buffer=nl.psum)
            for k in range(bank.size):
                for q in range(QUARTERS):
                    source = self._source(row, bank.start + k, q)
                    nisa.nc_transpose(dst=turned[:, k, q, :], data=source, engine=nisa.engine.tensor)
            packed: Tensor = nl.ndarray((PARTITIONS, bank.size, count, QUARTERS), dtype=row.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(dst=packed, src=turned.permute((0, 1, 3, 2)), engine=nisa.engine.scalar)
            place = self._tile.part(slice(None), Span(first + bank.start, bank.size).slice, tokens)
            self._inputs.store(place, packed.reshape((PARTITIONS, bank.size, QUARTERS * count)))

    def _source(self, row: Tensor, tile: int, q: int) -> Tensor:
        """What elements of a tile have in place q: of own columns of quarter q."""
        start = q * self._own.size + tile * PARTITIONS
        return row[:, start : start + PARTITIONS]
