# SPDX-License-Identifier: Apache-2.0
"""Tokens as codes in HBM, quantised once, however many experts each has."""

from __future__ import annotations

from collections.abc import Callable

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.shared_tensors import shared_tensor
from nkimoe.kernels.stages.exact_scale import largest_magnitude
from nkimoe.kernels.stages.gather_tokens import TileRing, TokenRows, leave
from nkimoe.kernels.stages.int8.codes import CodeLayout, TokenScale, of_tiles, room_for_each
from nkimoe.kernels.stages.int8.paired_codes import InPairs
from nkimoe.kernels.stages.int8.scale_table import ScaleTable
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.tensor import OutOfBounds, Tensor
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import PARTITIONS, Span, Tiling, spans

SCALE_BYTES = 4
# Bytes of a partition for rows as they come and as codes. Nothing large is on chip yet, and what is loaded ahead does
# not wait for what comes behind it, such as tables of routing.
ROOM = 98304
TOGETHER = 2  # tiles of rows whose factors are computed together


class CodeRows(TokenRows):
    """int8 rows of one part: the codes of a token in pairs, behind them the bytes of its scale, so that one gather
    fetches both; with a table, codes alone. Cores that share a block each gather a part of H, with a scale of its own.

    Attributes:
        table: where slots look their scales up, or None.
    """

    def __init__(self, request: Request, columns: Span, tiling: Tiling, out_of_bounds: OutOfBounds) -> None:
        parts, layout = _parts_of(request.hidden_states.shape[1], columns), InPairs(tiling.row_group)
        width = layout.nbytes(columns.size) + SCALE_BYTES
        self._source = token_codes(request.hidden_states, parts, layout)
        self.table = ScaleTable(scale_of(self._source), tiling.token_tiles) if tiling.has_scale_table else None
        gathered = width if self.table is None else width - SCALE_BYTES
        self._columns = Span(parts.index(columns) * width, gathered)
        self._sets, self._out_of_bounds = self._room(request, tiling, gathered, nl.int8), out_of_bounds

    def gather(self, part: Part | None) -> None:
        if self.table is not None and part is not None and not self._sets.has(part):
            self.table.name(part)
        super().gather(part)


def _parts_of(H: int, own: Span) -> list[Span]:
    """The columns that each core gathers, in order: all of them, or those of two cores, which may share a tile."""
    if own.size == H:
        return [own]
    return sorted((own, Span(H - own.stop, own.size)))


def token_rows(request: Request, columns: Span, tiling: Tiling, out_of_bounds: OutOfBounds) -> TokenRows:
    """Rows that were quantised once, or as they are, for experts that smooth them first."""
    kind = CodeRows if request.smooth is None else TokenRows
    return kind(request, columns, tiling, out_of_bounds)


def codes_of(rows: Tensor) -> Tensor:
    """[tokens, H], in the order of their layout."""
    return rows[:, 0 : rows.shape[1] - SCALE_BYTES]


def scale_of(rows: Tensor) -> Tensor:
    """fp32 [tokens, 1]."""
    return rows[:, rows.shape[1] - SCALE_BYTES : rows.shape[1]].view(nl.float32)


def token_codes(hidden_states: Tensor, parts: list[Span], layout: CodeLayout) -> Tensor:
    """All rows, part by part."""
    each = layout.nbytes(parts[0].size) + SCALE_BYTES

    def code(rows: list[Tensor], values: list[Tensor]) -> None:
        tokens = sum(tile.shape[0] for tile in values)
        amax = room_for_each(tokens)
        for own, tile in zip(of_tiles(amax, tokens), values, strict=True):
            largest_magnitude(own, tile)
        of_tokens = TokenScale(amax)
        factors, scales = (of_tiles(each, tokens) for each in (of_tokens.factor, of_tokens.scale()))
        for row, tile, factor, scale in zip(rows, values, factors, scales, strict=True):
            for n, part in enumerate(parts):
                there = row[:, n * each : (n + 1) * each]
                layout.write(codes_of(there), tile[:, part.slice], factor)
                nisa.tensor_copy(dst=scale_of(there), src=scale)

    return coded_rows(hidden_states, len(parts) * each, code)


def coded_rows(rows: Tensor, width: int, code: Callable[[list[Tensor], list[Tensor]], None]) -> Tensor:
    """All rows of a matrix in HBM as `width` bytes in HBM, int8; the cores take turns.

    Args:
        code: (rows, values): tiles [n, width] become the bytes of as many tiles of values [n, columns].
    """
    (count, columns), cores = rows.shape, nl.num_programs(0)
    result = shared_tensor((count, width), nl.int8, "token_codes")
    mine = spans(count, PARTITIONS)[nl.program_id(0) :: cores]
    room = max(2, min(len(mine), ROOM // (2 * columns + width)))
    together = min(TOGETHER, room // 2)
    loaded = TileRing(room, (PARTITIONS, columns), rows.dtype, leave)
    coded = TileRing(room, (PARTITIONS, width), nl.int8, leave)
    for some in (mine[first : first + together] for first in range(0, len(mine), together)):
        values, codes = ([ring.take()[0 : own.size, :] for own in some] for ring in (loaded, coded))
        for tile, own in zip(values, some, strict=True):
            nisa.dma_copy(dst=tile, src=rows[own.slice, :])
        code(codes, values)
        for tile, own in zip(codes, some, strict=True):
            nisa.dma_copy(dst=result[own.slice, :], src=tile)
    if cores > 1:
        nisa.core_barrier(data=result, cores=(0, 1))
    return result
