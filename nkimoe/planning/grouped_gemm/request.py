# SPDX-License-Identifier: Apache-2.0
"""One grouped GEMM as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from nkimoe.planning.grouped_gemm.choice import GemmChoice
from nkimoe.planning.grouped_gemm.column_runs import Runs, column_runs
from nkimoe.planning.grouped_gemm.pieces import CODES_A_BYTE, ColumnPieces
from nkimoe.planning.mx.quantization import MX_DTYPES
from nkimoe.planning.request import OperationRequest
from nkimoe.planning.shares import QUARTERS
from nkimoe.spec import MoECTEImplementation, MoECTESpec, Pairs, SkipMode

SILU, GELU_MUL, GELU, SWIGLU = "silu", "gelu_mul", "gelu", "swiglu"
EPILOGUES = (None, SILU, GELU_MUL, GELU, SWIGLU)
HALVED = (SILU, GELU_MUL, SWIGLU)  # epilogues of two columns each


class Weighting(Enum):
    """When results are multiplied by the weight of their pair.

    NONE: never. AFTER: behind the epilogue. BEFORE: before bias and epilogue. ROUNDED: likewise, and rounded there to
    the type of a.
    """

    NONE = "none"
    AFTER = "after"
    BEFORE = "before"
    ROUNDED = "rounded"


@dataclass(frozen=True)
class GemmOptions:
    """Constants of one launch.

    Attributes:
        choice: how it runs.
        compute_dtype: of matmul operands, and of rows of a that are not codes.
        out_dtype: of the result.
        columns: of the result.
        choices: rows of the result that a row of a has.
        summed: results of so many neighbouring rows are added, in fp32 and in order, and rounded once; None: they stay.
        has_gaps: some pairs have no slot.
        epilogue: one of EPILOGUES.
        alpha, limit, add_residual: of SWIGLU.
        row_codes: what rows of a are, or become: int8, a scale each; an e4m3 type, with `a_scale`, or with a scale for
            each 128 columns; None: they stay.
        exact_rows: rows of the contraction of int8 codes whose products fp32 adds without rounding.
        scaled_columns: of the result, without those of padding, of weights with scales of blocks; else None.
    """

    choice: GemmChoice
    compute_dtype: str
    out_dtype: str
    columns: int
    choices: int
    has_gaps: bool
    epilogue: str | None = None
    weighting: Weighting = Weighting.NONE
    alpha: float = 1.0
    limit: float | None = None
    add_residual: bool = False
    row_codes: str | None = None
    exact_rows: int | None = None
    scaled_columns: int | None = None
    summed: int | None = None

    @property
    def block_size(self) -> int:
        """Slots of a block."""
        return self.choice.block_size

    @property
    def halves(self) -> int:
        """Columns of the product behind each column of the result."""
        return 2 if self.epilogue in HALVED else 1


@dataclass(frozen=True, eq=False)
class Groups:
    """What the codes of int4 weights mean: (code - zero) * scale, a scale and a zero for each group of rows.

    Attributes:
        scale, zero: [E, pieces, groups of 256 rows, K / 256, halves * width], floats; a zero of None is 8.
    """

    scale: Any
    zero: Any


@dataclass(frozen=True, eq=False)
class GemmRequest:
    """Tensors and constants of a grouped GEMM.

    Attributes:
        a: [M, K], K a multiple of 128; or bytes, int8 [M, K + 4 n]: codes, and the bytes of their n scales.
        a_scale: fp32 [1, 1], of rows that become e4m3 with one scale; else None.
        b: [E, pieces, 128, K / 128, halves * width]: row r of the contraction on partition r % 128; a piece has `width`
            columns of the result, those of its first half before those of the second. Of a's type, int8 or fp8. Or
            uint8 with K / 256 for K / 128, two int4 codes of neighbouring rows each, the first in the low half. With
            scales of blocks, and rows of a that are no codes, rows of the contraction lie in groups
            (`pieces.row_group`). Of MX K / 512 for K / 128: four neighbouring rows are one packed element.
        groups: of int4 codes, else None.
        blocks: scales of blocks, fp32 [E, K / 128, all runs of columns]; of MX uint8 [E, pieces, 16, K / 512,
            halves * width]; or None.
        scale, bias: fp32 [E, pieces * halves * width], in the order of b; or None.
        out_factor: fp32 [1, 1], what results are multiplied with before they are rounded to codes; or None.
        tokens, positions, weights: [128, blocks * tiles], of each slot, as `pair_blocks` has them: slot s of a block is
            in row s % 128 of its tile s // 128; what a last tile has beyond its block is not read.
        block_to_expert: int32 [blocks].
    """

    a: Any
    a_scale: Any
    b: Any
    groups: Groups | None
    blocks: Any
    scale: Any
    bias: Any
    out_factor: Any
    tokens: Any
    positions: Any
    weights: Any
    block_to_expert: Any
    options: GemmOptions

    @cached_property
    def runs(self) -> tuple[Runs, ...] | None:
        """Of each piece of weights with scales of blocks; else None."""
        options, (count, rows) = self.options, self.b.shape[1::2]
        if options.scaled_columns is None:
            return None
        pieces = ColumnPieces(int(count), options.choice.width, options.halves, int(rows))
        runs = column_runs(pieces, options.scaled_columns, options.epilogue == SWIGLU)
        return tuple(tuple(own for own, _ in each) for each in runs)

    @property
    def gathers_codes(self) -> bool:
        """Whether rows of a become codes, if they are none, before they are gathered."""
        return self.options.row_codes is not None and self.a_scale is None

    @property
    def scales_weights(self) -> bool:
        """Whether weights with scales of blocks are multiplied by them, rather than the products of each block."""
        return self.blocks is not None and not self.gathers_codes and not self.is_mx

    @property
    def is_mx(self) -> bool:
        """Whether weights are packed MX elements."""
        return str(self.b.dtype) in MX_DTYPES

    @property
    def rows_an_element(self) -> int:
        """Neighbouring rows of the contraction that one element of b holds."""
        return QUARTERS if self.is_mx else CODES_A_BYTE if str(self.b.dtype) == "uint8" else 1

    @property
    def is_converted(self) -> bool:
        """Whether weights become 16-bit numbers on chip."""
        return str(self.b.dtype) in ("int8", "uint8") or self.scales_weights

    @property
    def is_plain(self) -> bool:
        """Whether the PE alone makes products, of 16-bit rows and of weights as they come."""
        return self.options.row_codes is None and not self.is_converted and not self.is_mx

    def slots(self, compute_dtype: Any) -> OperationRequest:
        """What stages that know nothing of a GEMM see of it: rows of a, and which pair is in each slot."""
        pairs = Pairs(self.positions, self.weights, self.options.choices, True, self.options.has_gaps)
        return OperationRequest(
            self.a, None, None, None, self.tokens, self.block_to_expert, self.options.block_size,
            MoECTESpec(MoECTEImplementation.shard_on_block), compute_dtype, skip_dma=SkipMode(skip_token=True),
            pairs=pairs,
        )  # fmt: skip
