"""One projection of a grouped GEMM: its weights, and what follows their products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nkimoe.ops.gemm_weights import GemmWeights
from nkimoe.planning.grouped_gemm.choice import GemmChoice
from nkimoe.planning.grouped_gemm.pieces import ColumnPieces, ProjectionSizes
from nkimoe.planning.grouped_gemm.request import HALVED, SWIGLU, GemmOptions, Weighting


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


@dataclass(frozen=True, eq=False)
class Projection:
    """Checked weights, and what follows their products."""

    weights: GemmWeights
    epilogue: Epilogue

    @property
    def columns(self) -> int:
        """Of the result."""
        return self.weights.sizes[1] // self.epilogue.halves

    def sizes(self, K: int, columns: int) -> ProjectionSizes:
        """Of weights for rows of K columns; `columns` are those of the result, with zeros behind its own."""
        weights = self.weights
        return ProjectionSizes(K, columns, self.epilogue.halves, weights.is_converted, weights.given.codes_a_byte)

    def tensors(self, pieces: ColumnPieces) -> tuple[Any, ...]:
        """(a_scale, b, group_scale, group_zero, scale, bias), as the kernel takes them."""
        return self.weights.tensors(pieces, self.epilogue.kind == SWIGLU)

    def options(
        self, dtype: str, columns: int, choice: GemmChoice, choices: int, has_gaps: bool, summed: int | None = None
    ) -> GemmOptions:
        """Constants of the launch."""
        e, weights = self.epilogue, self.weights
        return GemmOptions(
            choice, dtype, columns, choices, has_gaps, e.kind, e.weighting, e.alpha, e.limit, e.add_residual,
            weights.row_codes, weights.exact_rows, summed,
        )  # fmt: skip
