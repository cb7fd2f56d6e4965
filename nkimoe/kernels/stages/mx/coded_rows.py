# SPDX-License-Identifier: Apache-2.0
"""Tokens that come as MXFP8 rows with their scales (`planning.mx.coded_rows`): nothing is left to quantise.

Each core of two that share a block gathers whole rows: they are half as long as those of bf16.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.gather_tokens import TokenRows
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.gather_tokens import QuarterRows
from nkimoe.kernels.stages.mx.operands import SCALE_ROWS, MxOperand
from nkimoe.kernels.stages.mx.transpose_tokens import PackedTokenColumns
from nkimoe.kernels.stages.mx.weights import MxWeights
from nkimoe.kernels.tensor import OutOfBounds, Tensor
from nkimoe.planning.mx.coded_rows import TILES_OF_A_GROUP, coded_width, is_coded, scale_groups
from nkimoe.planning.mx.tiling import TILE
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, Tiling, spans


class MxTokenRows(TokenRows):
    """Whole rows [128, H and scales]."""

    def __init__(self, request: Request, tiling: Tiling, out_of_bounds: OutOfBounds) -> None:
        self._source, self._out_of_bounds = request.hidden_states, out_of_bounds
        self._columns = Span(0, coded_width(TILE * int(request.gate_up_proj_weight.shape[3])))
        self._sets = self._room(request, tiling, self._columns.size, self._source.dtype)


class CodedOperand(NamedTuple):
    """Packed elements [128, H/512, tokens], and scale codes [128, H/2048, tokens] of four tiles each."""

    data: Tensor
    scale: Tensor

    def part(self, rows: slice, h: int, tokens: slice) -> MxOperand:
        """Tile h of H."""
        group, place = divmod(h, TILES_OF_A_GROUP)
        return MxOperand(self.data[rows, h, tokens], self.scale[place * SCALE_ROWS :, group, tokens])


class CodedTokenColumns:
    """The tokens of one part, transposed as they are: packed elements like numbers of four bytes, codes as bf16."""

    def __init__(self, H: int, tiling: Tiling) -> None:
        self._H, columns = H, tiling.token_tiles * PARTITIONS
        self._data: Tensor = nl.ndarray((PARTITIONS, H // TILE, columns), dtype=nl.float32, buffer=nl.sbuf)
        self._scale: Tensor = nl.ndarray((PARTITIONS, scale_groups(H), columns), dtype=nl.uint8, buffer=nl.sbuf)

    def turn(self, rows: Iterable[Tensor]) -> None:
        for t, row in enumerate(rows):
            tokens = slice(t * PARTITIONS, t * PARTITIONS + row.shape[0])
            self._turn_elements(row[:, 0 : self._H].view(nl.float32), tokens)
            self._turn_scales(row[:, self._H :].view(nl.uint8), tokens)

    def of(self, part: Part) -> CodedOperand:
        """The columns of the part that was transposed last."""
        tokens = slice(0, part.slots)
        return CodedOperand(self._data.view(nl.float8_e4m3fn_x4)[:, :, tokens], self._scale[:, :, tokens])

    def _turn_elements(self, row: Tensor, tokens: slice) -> None:
        for n, bank in enumerate(spans(self._H // TILE, PSUM_COLUMNS // PARTITIONS)):
            turned = nl.ndarray((PARTITIONS, bank.size, row.shape[0]), dtype=nl.float32, buffer=nl.psum)
            for k in range(bank.size):
                source = row[:, (bank.start + k) * PARTITIONS : (bank.start + k + 1) * PARTITIONS]
                nisa.nc_transpose(dst=turned[:, k, :], data=source, engine=nisa.engine.tensor)
            engine = nisa.engine.scalar if n % 2 else nisa.engine.vector
            nisa.tensor_copy(dst=self._data[:, bank.slice, tokens], src=turned, engine=engine)

    def _turn_scales(self, codes: Tensor, tokens: slice) -> None:
        wide: Tensor = nl.ndarray(tuple(codes.shape), dtype=nl.bfloat16, buffer=nl.sbuf)  # holds 0 .. 255 exactly
        nisa.tensor_copy(dst=wide, src=codes, engine=nisa.engine.gpsimd)
        groups = self._scale.shape[1]
        turned = nl.ndarray((PARTITIONS, groups, codes.shape[0]), dtype=nl.bfloat16, buffer=nl.psum)
        for group in range(groups):
            source = wide[:, group * PARTITIONS : (group + 1) * PARTITIONS]
            nisa.nc_transpose(dst=turned[:, group, :], data=source, engine=nisa.engine.tensor)
        nisa.tensor_copy(dst=self._scale[:, :, tokens], src=turned, engine=nisa.engine.vector)


def token_rows(request: Request, columns: Span, tiling: Tiling, out_of_bounds: OutOfBounds) -> TokenRows:
    """Rows on their way in, quantised or not."""
    if is_coded(request.hidden_states):
        return MxTokenRows(request, tiling, out_of_bounds)
    return QuarterRows(request, columns, tiling, out_of_bounds)


def token_columns(
    H: int, tiling: Tiling, own: Span, weights: MxWeights, rows: TokenRows
) -> CodedTokenColumns | PackedTokenColumns:
    """Their columns."""
    if weights.meets_coded_rows:
        return CodedTokenColumns(H, tiling)
    return PackedTokenColumns(H, tiling, own, weights.gate_up_inputs)
