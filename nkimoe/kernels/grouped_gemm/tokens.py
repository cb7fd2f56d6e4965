# SPDX-License-Identifier: Apache-2.0
"""Tokens of a tile of slots as a matmul operand."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from typing import NamedTuple, Protocol

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.grouped_gemm.group_codes import group_codes
from nkimoe.kernels.grouped_gemm.neighbour_columns import NeighbourColumns
from nkimoe.kernels.grouped_gemm.rows_in_runs import RowsInRuns
from nkimoe.kernels.stages.converted_pieces import converted
from nkimoe.kernels.stages.dense.inputs import Quantised
from nkimoe.kernels.stages.gather_tokens import TokenRows
from nkimoe.kernels.stages.int8.code_rows import token_codes
from nkimoe.kernels.stages.int8.codes import InOrder
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.operands import MxOperand
from nkimoe.kernels.stages.quantise import Fp8Quantiser
from nkimoe.kernels.stages.token_columns import ColumnInputs, CopiedColumns, TokenColumns
from nkimoe.kernels.tensor import IndexTile, OutOfBounds, Tensor
from nkimoe.planning.grouped_gemm.choice import TOKEN_SETS
from nkimoe.planning.grouped_gemm.plan import GemmPlan
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import PARTITIONS, Span


class Operand(NamedTuple):
    """Attributes:
    data: [128, K / 128, slots]; of MX [128, K / 512, slots].
    scales: of each tile of tokens, fp32 [slots, 1] that multiplies their products, or None.
    groups: likewise, fp32 [slots, K / 128] that multiplies the products of each 128 rows; empty if none does.
    """

    data: Tensor | MxOperand
    slots: int
    scales: Sequence[Tensor | None]
    groups: Sequence[Tensor] = ()

    def slots_of(self, tile: int) -> int:
        """Of one tile of tokens."""
        return min(PARTITIONS, self.slots - tile * PARTITIONS)


class ColumnSet(Protocol):
    """A set of columns, as `TokenColumns` documents it."""

    def turn(self, rows: Iterable[Tensor]) -> None: ...

    def of(self, part: Part) -> Tensor | MxOperand: ...


class Tokens:
    """Rows as they are, in sets of columns that take turns."""

    def __init__(self, rows: TokenRows, columns: Sequence[ColumnSet]) -> None:
        self._rows, self._columns = rows, cycle(columns)
        self._ahead: deque[Part] = deque()
        self._now: tuple[Part, Operand] | None = None
        self._coming: tuple[Part, Operand] | None = None

    def follow(self, parts: Sequence[Part]) -> None:
        """The parts that come, in order."""
        self._ahead = deque(parts)

    def take(self) -> Operand:
        """The operand of the next part."""
        for _ in self.prepare():
            pass
        assert self._coming is not None, "there is a next part"
        self._now, self._coming = self._coming, None
        return self._now[1]

    def prepare(self) -> Iterator[None]:
        """Turn the next part, if nobody has, and start loading the rows of the one behind it, a tile a step."""
        if self._coming is not None or not self._ahead:
            return
        part = self._ahead.popleft()
        if self._now is not None and part is self._now[0]:
            self._coming = self._now
        else:
            self._coming = part, self._operand(part, next(self._columns))
        if self._ahead:
            yield from self._fetch(self._ahead[0])

    def _fetch(self, part: Part) -> Iterator[None]:
        """Start loading the rows of a part, a tile a step."""
        return self._rows.transfers(part)

    def _operand(self, part: Part, columns: ColumnSet) -> Operand:
        self._rows.gather(part)
        return self._turn(part, self._rows.of(part), columns)

    def _turn(self, part: Part, rows: list[Tensor], columns: ColumnSet) -> Operand:
        columns.turn(rows)
        return Operand(columns.of(part), part.slots, [None] * len(rows))


class KeptTokens(Tokens):
    """Rows as they are. Where they are needed in several passes the first keeps their columns in HBM for the others,
    which gather, describe and transpose nothing.
    """

    def __init__(self, rows: TokenRows, columns: Sequence[ColumnSet]) -> None:
        super().__init__(rows, columns)
        self._kept: dict[int | IndexTile, Tensor] = {}

    def _fetch(self, part: Part) -> Iterator[None]:
        return iter(()) if part.block.number in self._kept else super()._fetch(part)

    def _operand(self, part: Part, columns: ColumnSet) -> Operand:
        kept = self._kept.get(part.block.number)
        if kept is None:
            operand = super()._operand(part, columns)
            self._keep(part, columns)
            return operand
        nisa.dma_copy(dst=columns.of(part), src=kept)
        return Operand(columns.of(part), part.slots, [None] * part.tiles.size)

    def _keep(self, part: Part, columns: ColumnSet) -> None:
        data = columns.of(part)
        assert not isinstance(data, MxOperand), "MX rows are turned in every pass"
        kept: Tensor = nl.ndarray(tuple(data.shape), dtype=data.dtype, buffer=nl.private_hbm)
        nisa.dma_copy(dst=kept, src=data)
        self._kept[part.block.number] = kept


class CodedTokens(Tokens):
    """Rows of codes, with the bytes of their scales behind them.

    Args:
        codes: their type: int8, one scale a row, or fp8, one for each 128 columns.
    """

    def __init__(self, rows: TokenRows, columns: Sequence[TokenColumns], K: int, codes: str) -> None:
        super().__init__(rows, columns)
        self._dtype, self._K, self._codes = columns[0].dtype, K, codes

    def _turn(self, part: Part, rows: list[Tensor], columns: ColumnSet) -> Operand:
        codes = (row[:, 0 : self._K].view(getattr(nl, self._codes)) for row in rows)
        columns.turn(converted(each, self._dtype) for each in codes)
        scales = [self._scales(row) for row in rows]
        if self._codes == "int8":
            return Operand(columns.of(part), part.slots, scales)
        return Operand(columns.of(part), part.slots, [None] * len(rows), scales)

    def _scales(self, row: Tensor) -> Tensor:
        """fp32 [slots, n], where the next rows leave them alone."""
        source = row[:, self._K :].view(nl.float32)
        scales: Tensor = nl.ndarray(tuple(source.shape), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=scales, src=source)
        return scales


def make_tokens(
    request: GemmRequest, plan: GemmPlan, slots: Request, out_of_bounds: OutOfBounds, passes: int
) -> Tokens:  # fmt: skip
    """The form that the options ask for."""
    codes, K = request.options.row_codes, plan.problem.H
    if codes is None or not request.gathers_codes:
        rows: TokenRows = RowsInRuns(slots, Span(0, K), plan.tiling, out_of_bounds)
        if request.is_mx:
            return Tokens(rows, [NeighbourColumns(plan, slots.compute_dtype) for _ in range(TOKEN_SETS)])
        kind = KeptTokens if passes > 1 else Tokens
        return kind(rows, _row_columns(request, plan, slots))
    source = request.a if str(request.a.dtype) == "int8" else _coded(request.a, codes)
    slots = replace(slots, hidden_states=source, compute_dtype=nl.int8)
    rows = TokenRows(slots, Span(0, int(source.shape[1])), plan.tiling, out_of_bounds)
    return CodedTokens(rows, _columns(plan, CopiedColumns(getattr(nl, request.options.compute_dtype))), K, codes)


def _row_columns(request: GemmRequest, plan: GemmPlan, slots: Request) -> list[TokenColumns]:
    """What rows of 16-bit numbers become."""
    codes = request.options.row_codes
    return _columns(plan, CopiedColumns(slots.compute_dtype) if codes is None else _quantised(request.a_scale, codes))


def _columns(plan: GemmPlan, inputs: ColumnInputs) -> list[TokenColumns]:
    own = Span(0, plan.problem.H)
    return [TokenColumns(own.size, plan.tiling, own, inputs) for _ in range(TOKEN_SETS)]


def _coded(rows: Tensor, codes: str) -> Tensor:
    """Bytes in HBM: codes once a row, however many blocks it is in."""
    if codes == "int8":
        return token_codes(rows, [Span(0, int(rows.shape[1]))], InOrder())
    return group_codes(rows, codes)


def _quantised(a_scale: Tensor, dtype: str) -> ColumnInputs:
    """fp8(x / a_scale)."""
    scale: Tensor = nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=scale, src=a_scale.ap(pattern=[[0, PARTITIONS], [1, 1]]))
    quantiser = Fp8Quantiser(dtype, scale)
    quantiser.derive()
    return Quantised(quantiser)
