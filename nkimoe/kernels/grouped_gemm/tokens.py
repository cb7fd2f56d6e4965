"""Tokens of a tile of slots as a matmul operand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.dense.inputs import Quantised
from nkimoe.kernels.stages.gather_tokens import TokenRows
from nkimoe.kernels.stages.int8.code_rows import CodeRows, codes_of, scale_of
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
    """

    data: Tensor
    scales: list[Tensor | None]


class Tokens:
    """Rows as they are, in two sets of columns that take turns."""

    _row_kind: type[TokenRows] = TokenRows

    def __init__(self, slots: Request, plan: GemmPlan, out_of_bounds: OutOfBounds, inputs: ColumnInputs) -> None:
        K = plan.problem.H
        own = Span(0, K)
        self._rows = self._row_kind(slots, own, plan.tiling.token_tiles, out_of_bounds)
        self._columns = cycle([TokenColumns(K, plan.tiling, own, inputs) for _ in range(TOKEN_SETS)])

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
    """Rows that were quantised to int8 once, with their scales."""

    _row_kind = CodeRows

    def _turn(self, part: Part, rows: list[Tensor], columns: TokenColumns) -> Operand:
        columns.turn(codes_of(row) for row in rows)
        scales: list[Tensor | None] = []
        for row in rows:
            scale: Tensor = nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_copy(dst=scale, src=scale_of(row))
            scales.append(scale)
        return Operand(columns.of(part), scales)


def make_tokens(request: GemmRequest, plan: GemmPlan, slots: Request, out_of_bounds: OutOfBounds) -> Tokens:
    """The form that the options ask for."""
    codes, copied = request.options.row_codes, CopiedColumns(slots.compute_dtype)
    if codes == "int8":
        return CodedTokens(slots, plan, out_of_bounds, copied)
    return Tokens(slots, plan, out_of_bounds, copied if codes is None else _quantised(request.a_scale, codes))


def _quantised(a_scale: Tensor, dtype: str) -> ColumnInputs:
    """fp8(x / a_scale)."""
    scale: Tensor = nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=scale, src=a_scale.ap(pattern=[[0, PARTITIONS], [1, 1]]))
    quantiser = Fp8Quantiser(dtype, scale)
    quantiser.derive()
    return Quantised(quantiser)
