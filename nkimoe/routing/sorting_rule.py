# SPDX-License-Identifier: Apache-2.0
"""What `moe_sorting` sorts and how it writes it down, as one value: NumPy and the kernel follow it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any

from nkimoe.errors import require

TOKEN_BITS = 24  # of a packed id; the choice is above
MOST_PACKED = 1 << (31 - TOKEN_BITS)  # choices, and the number of them that a packed pad holds: no id is negative


@dataclass(frozen=True)
class SortingRule:
    """Which pairs (token, choice) are sorted, and what a row of the result says.

    Attributes:
        n_experts: E; ids outside 0..E-1 are skipped.
        block_size: rows of a block, CK's unit.
        local_experts: ids of the experts to keep, ascending; the result numbers them 0, 1, ... None: all.
        local_tokens: how many tokens to keep, the first ones, which is the token of pads, too. None: all.
        packed: a row holds choice << 24 | token, in pads K << 24 | tokens; False: the token alone.
    """

    n_experts: int
    block_size: int
    local_experts: tuple[int, ...] | None = None
    local_tokens: int | None = None
    packed: bool = True

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises RequestError unless ids of this shape can be sorted."""
        require(len(shape) == 2, "topk_ids", "is [T, K]", shape, "Reshape one expert a token to [T, 1].")
        for name in ("n_experts", "block_size"):
            size = getattr(self, name)
            require(is_count(size) and size >= 1, name, "is a positive integer", size, "Pass the layer's own.")
        require(isinstance(self.packed, bool), "packed", "is True or False", self.packed, "Pass one of them.")
        n_tokens, top_k = shape
        rule = f"has 1 to E = {self.n_experts} choices a token"
        require(1 <= top_k <= self.n_experts, "topk_ids", rule, f"K = {top_k}", "Check n_experts, and [T, K].")
        if self.packed:
            rule, fix = "has T below 2**24 and K below 2**7 in packed ids", "Pass packed=False or split the batch."
            require(n_tokens < 1 << TOKEN_BITS and top_k < MOST_PACKED, "topk_ids", rule, shape, fix)
        if self.local_tokens is not None:
            is_right = is_count(self.local_tokens) and 0 <= self.local_tokens <= n_tokens
            fix = "Pass how many of the first tokens are real."
            require(is_right, "local_tokens", f"is in 0..T = 0..{n_tokens}", self.local_tokens, fix)
        self._check_experts()

    def _check_experts(self) -> None:
        experts = self.experts
        are_experts = all(is_count(e) and 0 <= e < self.n_experts for e in experts)
        ascend = are_experts and all(a < b for a, b in pairwise(experts))
        rule = f"is a list of experts in 0..{self.n_experts - 1}, each once, ascending, one or more"
        require(len(experts) > 0 and ascend, "local_experts", rule, experts, "Sort it; None keeps all experts.")

    @property
    def experts(self) -> tuple[int, ...]:
        """The experts that are kept."""
        return tuple(range(self.n_experts)) if self.local_experts is None else self.local_experts

    def block_count(self, n_tokens: int, top_k: int) -> int:
        """Blocks of the result, enough for any routing of distinct or repeated experts.

        CK's size T * K + E * B - K, rounded up to whole blocks: all pairs, and B - 1 pads for each expert.
        """
        return -(-(n_tokens * top_k + self.n_experts * self.block_size - top_k) // self.block_size)

    def token_count(self, n_tokens: int) -> int:
        """Tokens that are sorted, of T."""
        return n_tokens if self.local_tokens is None else self.local_tokens

    def row_id(self, token: Any, choice: Any) -> Any:
        """What a row of this pair holds: Python or NumPy integers; of pads, with token `token_count` and choice K."""
        return choice << TOKEN_BITS | token if self.packed else token


def is_count(value: Any) -> bool:
    """Whether it is an integer, of Python or NumPy."""
    return isinstance(value, Integral) and not isinstance(value, bool)
