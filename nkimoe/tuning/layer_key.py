# SPDX-License-Identifier: Apache-2.0
"""What a row of a tuned table is for: the columns of aiter's key behind `gfx` and `cu_num`, in its order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from nkimoe.planning.grouped_gemm.request import GELU, GELU_MUL, SILU, SWIGLU
from nkimoe.tuning.operand_types import OperandTypes

# What follows the products of the first projection, by act_type and use_g1u1.
EPILOGUES: dict[tuple[str, bool], str | None] = {
    ("silu", True): SILU, ("gelu", True): GELU_MUL, ("swiglu", True): SWIGLU, ("gelu", False): GELU,
    ("none", False): None,
}  # fmt: skip
TIERS = (32768, 131072)  # from the first on, tokens are rounded down to one of these


@dataclass(frozen=True)
class LayerKey:
    """A layer, and for how many tokens.

    Attributes:
        token: of a row, as many as its bucket has; of a call, as there are.
        inter_dim: columns of the result of the first projection.
        expert, topk: experts with weights here, and choices of a token.
        act_type: silu, gelu, swiglu or none.
        dtype: of rows and results.
        q_dtype_a, q_dtype_w, q_type: as `OperandTypes` has them.
        use_g1u1: the first projection has a gate and an up half, and a second projection follows it. False: there is
            one projection, and act_type is what follows it.
        doweight_stage1: weights multiply in the first projection.
    """

    token: int
    model_dim: int
    inter_dim: int
    expert: int
    topk: int
    act_type: str
    dtype: str
    q_dtype_a: str
    q_dtype_w: str
    q_type: str
    use_g1u1: bool
    doweight_stage1: bool

    @property
    def types(self) -> OperandTypes:
        return OperandTypes(self.q_dtype_a, self.q_dtype_w, self.q_type)

    @property
    def epilogue(self) -> str | None:
        """What follows the products of the first projection."""
        return EPILOGUES[self.act_type, self.use_g1u1]

    @property
    def stages(self) -> int:
        """Projections, which have a choice each."""
        return 2 if self.use_g1u1 else 1

    def buckets(self) -> Iterator[LayerKey]:
        """Rows that a call may use: those of its tokens' bucket, then of smaller tiers."""
        return (replace(self, token=token) for token in buckets(self.token))


def buckets(tokens: int) -> list[int]:
    """The next power of two; from 32,768 on, the tiers that are not larger, largest first.

    >>> buckets(1), buckets(65), buckets(32767), buckets(40000), buckets(200000)
    ([1], [128], [32768], [32768], [131072, 32768])
    """
    if tokens < TIERS[0]:
        return [1 << (max(tokens, 1) - 1).bit_length()]
    return [tier for tier in reversed(TIERS) if tier <= tokens]
