# SPDX-License-Identifier: Apache-2.0
"""Grouped GEMMs whose tensors have shapes and no values: enough to plan them, and to predict their time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import numpy.typing as npt

from nkimoe.arrays import Array
from nkimoe.ops.expert_arguments import UNQUANT
from nkimoe.ops.gemm_quantisation import FP8_W8A8, INT4_W4A16, operands_of
from nkimoe.ops.gemm_tables import gemm_tables
from nkimoe.ops.gemm_weights import ROWS_A_TILE
from nkimoe.planning.grouped_gemm.choice import GemmChoice
from nkimoe.planning.grouped_gemm.pieces import ProjectionSizes
from nkimoe.planning.grouped_gemm.request import HALVED, GemmOptions, GemmRequest, Groups, Weighting
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.routing.pair_blocks import PairBlocks, pair_blocks
from nkimoe.tuning.operand_types import INT4, OperandTypes, group_size_of, quantization_of

SEED = 11937
ALL_EXACT = 1 << 30  # rows of int8 codes whose products fp32 adds exactly: those of weights that are normal


class Routed(NamedTuple):
    """Choices of tokens, and how many experts there are: drawn evenly, the same every time.

    Attributes:
        ids: int32 [M, k], none twice in a row.
    """

    ids: npt.NDArray[np.int32]
    experts: int

    @classmethod
    def evenly(cls, tokens: int, top_k: int, experts: int) -> Routed:
        """Any k experts of a token are as likely."""
        order = np.argsort(np.random.default_rng(SEED).random((tokens, experts)), axis=1)
        return cls(order[:, :top_k].astype(np.int32), experts)

    @property
    def used(self) -> int:
        """Experts that have tokens."""
        return int(np.unique(self.ids).size)

    def blocks(self, size: int) -> PairBlocks:
        """In blocks of that many slots."""
        return pair_blocks(self.ids, np.ones(self.ids.shape, np.float32), self.experts, size)


@dataclass(frozen=True, eq=False)
class ShapedGemm:
    """One projection of all pairs.

    Attributes:
        rows: M, of a.
        K, columns: of the contraction, and of the result.
        dtype, types: of rows and results, and of what is multiplied.
        has_zeros: groups of int4 codes have zeros of their own.
        choices, summed: as `GemmOptions` has them.
    """

    rows: int
    K: int
    columns: int
    experts: int
    dtype: str
    types: OperandTypes
    epilogue: str | None
    weighting: Weighting
    choices: int
    summed: int | None = None
    has_zeros: bool = False

    @cached_property
    def sizes(self) -> ProjectionSizes:
        halves, is_int4 = 2 if self.epilogue in HALVED else 1, self.types.q_dtype_w == INT4
        operands = operands_of(quantization_of(self.types, self.dtype) or UNQUANT)
        return ProjectionSizes(self.K, self.columns, halves, 1 + is_int4, operands)

    def options(self, choice: GemmChoice) -> GemmOptions:
        """Constants of the launch."""
        row_codes = None if self.types.q_dtype_a == self.dtype else self.types.q_dtype_a
        return GemmOptions(
            choice, self.dtype, self.dtype, self.columns, self.choices, False, self.epilogue, self.weighting,
            row_codes=row_codes, exact_rows=ALL_EXACT if row_codes == "int8" else None, summed=self.summed,
        )  # fmt: skip

    @property
    def a(self) -> Array:
        """Its rows, up to whole tiles of columns."""
        return without_values((self.rows, self.sizes.rows * PARTITIONS), self.dtype)

    def tensors(self, choice: GemmChoice) -> tuple[Any, ...]:
        """(a_scale, b, group_scale, group_zero, scale, bias), as the kernel takes them."""
        pieces, kind = self.sizes.pieces(choice.width), quantization_of(self.types, self.dtype)
        E, tiles = self.experts, pieces.rows // self.sizes.group
        is_int4 = kind == INT4_W4A16
        b = without_values(
            (E, pieces.count, PARTITIONS, tiles, pieces.columns), "uint8" if is_int4 else self.types.q_dtype_w
        )
        groups = None
        if is_int4:
            of_tile = max(1, ROWS_A_TILE // (group_size_of(self.types) or 1))
            groups = without_values((E, pieces.count, of_tile, tiles, pieces.columns), "float32")
        is_scaled = not is_int4 and kind != "unquant"
        scale = without_values((E, pieces.count * pieces.columns), "float32") if is_scaled else None
        a_scale = without_values((1, 1), "float32") if kind == FP8_W8A8 else None
        return a_scale, b, groups, groups if self.has_zeros else None, scale, None

    def arguments(self, choice: GemmChoice, blocks: PairBlocks, of_pairs: bool) -> tuple[Any, ...]:
        """Those of `grouped_gemm`; `of_pairs`: rows of a are those of pairs, not of tokens."""
        tokens, positions, *tables = gemm_tables(blocks, choice.block_size)
        rows = positions if of_pairs else tokens
        return self.a, *self.tensors(choice), None, rows, positions, *tables, self.options(choice)

    def request(self, choice: GemmChoice, blocks: PairBlocks, of_pairs: bool) -> GemmRequest:
        """The same as a value."""
        a, a_scale, b, scales, zeros, *rest = self.arguments(choice, blocks, of_pairs)
        return GemmRequest(a, a_scale, b, None if scales is None else Groups(scales, zeros), None, *rest)


def without_values(shape: tuple[int, ...], dtype: str) -> Array:
    """Values that do not matter; of integers, which are looked at, zeros."""
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    return np.zeros(shape, kind) if kind.kind in "iu" else np.broadcast_to(np.zeros((), kind), shape)
