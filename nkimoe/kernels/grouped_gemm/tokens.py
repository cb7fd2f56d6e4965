"""Tokens of a tile of slots as a matmul operand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from typing import NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.grouped_gemm.group_codes import group_codes
from nkimoe.kernels.stages.converted_pieces import converted
from nkimoe.kernels.stages.dense.inputs import Quantised
from nkimoe.kernels.stages.gather_tokens import TokenRows
from nkimoe.kernels.stages.int8.code_rows import token_codes
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.quantise import Fp8Quantiser
from nkimoe.kernels.stages.token_columns import ColumnInputs, CopiedColumns, TokenColumns
from nkimoe.kernels.tensor import OutOfBounds, Tensor
from nkimoe.planning.grouped_gemm.plan import TOKEN_SETS, GemmPlan
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import PARTITIONS, Span


class Operand(NamedTuple):
    """Attributes:
    data: [128, K / 128, tokens].
    scales: of each tile of tokens, fp32 [128, 1] that multiplies their products, or None.
    groups: likewise, fp32 [128, K / 128] that multiplies the products of each 128 rows; empty if none does.
    """

    data: Tensor
    scales: Sequence[Tensor | None]
    groups: Sequence[Tensor] = ()


class Tokens:
    """Rows as they are, in two sets of columns that take turns."""

    def __init__(self, rows: TokenRows, plan: GemmPlan, inputs: ColumnInputs) -> None:
        own = Span(0, plan.problem.H)
        self._rows, self._inputs, self._own = rows, inputs, own
        self._columns = cycle([TokenColumns(own.size, plan.tiling, own, inputs) for _ in range(TOKEN_SETS)])

    def operands(self, parts: Sequence[Part]) -> Iterator[Operand]:
        """That of each part; whoever asks for one has the next part's turned, and the rows of the one after loaded."""
        ahead = [*parts, None, None]
        operand = self._turned(ahead[0], None, None)
        self._rows.gather(ahead[1])
        for now, following, after in zip(parts, ahead[1:], ahead[2:], strict=False):
            coming = self._turned(following, now, operand)
            self._rows.gather(after)
            assert operand is not None, "of `now`"
            yield operand
            operand = coming

    def _turned(self, part: Part | None, before: Part | None, operand: Operand | None) -> Operand | None:
        """The operand of a part: that of the part before if it is the same."""
        if part is None or part is before:
            return operand
        self._rows.gather(part)
        return self._turn(part, self._rows.of(part), next(self._columns))

    def _turn(self, part: Part, rows: list[Tensor], columns: TokenColumns) -> Operand:
        columns.turn(rows)
        return Operand(columns.of(part), [None] * len(rows))


class CodedTokens(Tokens):
    """Rows of codes, with the bytes of their scales behind them.

    Args:
        codes: their type: int8, one scale a row, or fp8, one for each 128 columns.
    """

    def __init__(self, rows: TokenRows, plan: GemmPlan, inputs: ColumnInputs, codes: str) -> None:
        super().__init__(rows, plan, inputs)
        self._codes = codes

    def _turn(self, part: Part, rows: list[Tensor], columns: TokenColumns) -> Operand:
        codes = (row[:, self._own.slice].view(getattr(nl, self._codes)) for row in rows)
        columns.turn(converted(each, self._inputs.dtype) for each in codes)
        scales = [self._scales(row) for row in rows]
        if self._codes == "int8":
            return Operand(columns.of(part), scales)
        return Operand(columns.of(part), [None] * len(rows), scales)

    def _scales(self, row: Tensor) -> Tensor:
        """fp32 [128, n], where the next rows leave them alone."""
        source = row[:, self._own.stop :].view(nl.float32)
        scales: Tensor = nl.ndarray(tuple(source.shape), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=scales, src=source)
        return scales


def make_tokens(request: GemmRequest, plan: GemmPlan, slots: Request, out_of_bounds: OutOfBounds) -> Tokens:
    """The form that the options ask for."""
    codes, copied, tiles = request.options.row_codes, CopiedColumns(slots.compute_dtype), plan.tiling.token_tiles
    if codes is None or not request.gathers_codes:
        rows = TokenRows(slots, Span(0, plan.problem.H), tiles, out_of_bounds)
        return Tokens(rows, plan, copied if codes is None else _quantised(request.a_scale, codes))
    source = request.a if str(request.a.dtype) == "int8" else _coded(request.a, codes)
    slots = replace(slots, hidden_states=source, compute_dtype=nl.int8)
    rows = TokenRows(slots, Span(0, int(source.shape[1])), tiles, out_of_bounds)
    return CodedTokens(rows, plan, copied, codes)


def _coded(rows: Tensor, codes: str) -> Tensor:
    """Bytes in HBM: codes once a row, however many blocks it is in."""
    if codes == "int8":
        return token_codes(rows, [Span(0, int(rows.shape[1]))])
    return group_codes(rows, codes)


def _quantised(a_scale: Tensor, dtype: str) -> ColumnInputs:
    """fp8(x / a_scale)."""
    scale: Tensor = nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=scale, src=a_scale.ap(pattern=[[0, PARTITIONS], [1, 1]]))
    quantiser = Fp8Quantiser(dtype, scale)
    quantiser.derive()
    return Quantised(quantiser)
