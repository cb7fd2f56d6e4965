# SPDX-License-Identifier: Apache-2.0
"""One projection of a grouped GEMM: its weights, and what follows their products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from nkimoe.ops.gemm_quantisation import FP8_W8A8
from nkimoe.ops.gemm_weights import GemmWeights
from nkimoe.ops.routing_tensors import dtype_of
from nkimoe.planning.grouped_gemm.choice import GemmChoice
from nkimoe.planning.grouped_gemm.pieces import ColumnPieces, ProjectionSizes
from nkimoe.planning.grouped_gemm.request import HALVED, SWIGLU, GemmOptions, Weighting
from nkimoe.weights.int8 import LARGEST


@dataclass(frozen=True)
class Epilogue:
    """What follows the products, as `GemmOptions` has it."""

    kind: str | None
    weighting: Weighting
    alpha: float = 1.0
    limit: float | None = None
    add_residual: bool = False

    @property
    def halves(self) -> int:
        """Columns of the product behind each column of the result."""
        return 2 if self.kind in HALVED else 1


class Slots(NamedTuple):
    """What a GEMM is told of its rows, as `GemmOptions` has it; `dtype` is that of matmul operands."""

    choice: GemmChoice
    dtype: str
    choices: int
    has_gaps: bool


class Results(NamedTuple):
    """What becomes of results, as `GemmOptions` has it.

    Attributes:
        factor: as `GemmRequest` has it.
    """

    dtype: str
    factor: Any
    columns: int
    summed: int | None = None


@dataclass(frozen=True, eq=False)
class Projection:
    """Checked weights, and what follows their products."""

    weights: GemmWeights
    epilogue: Epilogue

    @property
    def columns(self) -> int:
        """Of the result."""
        return self.weights.sizes[1] // self.epilogue.halves

    @property
    def interleaved(self) -> bool:
        """The halves of the product are its even and its odd columns."""
        return self.epilogue.kind == SWIGLU

    @property
    def row_codes(self) -> str | None:
        """What rows are, or become; None: they stay."""
        return self.weights.given.row_codes(dtype_of(self.weights.b))

    def sizes(self, K: int, columns: int) -> ProjectionSizes:
        """Of weights for rows of K columns; `columns` are those of the result, with zeros behind its own."""
        return self.weights.projection_sizes(K, columns, self.epilogue.halves)

    def tensors(self, pieces: ColumnPieces) -> tuple[Any, ...]:
        """(b, group_scale, group_zero, scale, bias), as the kernel takes them."""
        return self.weights.tensors(pieces, self.interleaved)

    def a_scale(self) -> Any:
        """fp32 [1, 1] of rows that become e4m3 with one scale; else None."""
        given = self.weights.given
        return given.a_scale.reshape(1, 1) if given.quantization == FP8_W8A8 else None

    def options(self, slots: Slots, result: Results, least: int = -int(LARGEST)) -> GemmOptions:
        """Constants of the launch.

        Args:
            least: of the codes of a.
        """
        e, weights = self.epilogue, self.weights
        return GemmOptions(
            slots.choice, slots.dtype, result.dtype, result.columns, slots.choices, slots.has_gaps, e.kind, e.weighting,
            e.alpha, e.limit, e.add_residual, self.row_codes, weights.exact_rows(least),
            self.columns if weights.given.has_blocks else None, result.summed,
        )  # fmt: skip
