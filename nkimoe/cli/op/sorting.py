# SPDX-License-Identifier: Apache-2.0
"""Sorting by expert, in two forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import click
import numpy as np

from nkimoe.arrays import Array
from nkimoe.cli.op.agreement import Agreement, equal
from nkimoe.cli.op.inputs import distinct_ids, uniform_rows
from nkimoe.cli.op.request import OpRequest, count, option
from nkimoe.cli.op.sizes import FP32, INT32
from nkimoe.reference.routing_ops import moe_align_block_size_reference, moe_sorting_reference
from nkimoe.routing import SortingRule, static_block_count


class IdList(click.ParamType):
    """Ids with commas between them; -1 alone is none."""

    name = "ids"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...] | None:
        if not isinstance(value, str):
            return None if value is None else tuple(value)
        try:
            ids = tuple(int(word) for word in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list like 4,5,6.", param, ctx)
        return None if ids == (-1,) else ids


@dataclass(frozen=True)
class MoeSorting(OpRequest):
    """Pairs (token, choice) by expert, with their weights (Composable Kernel's example 13)."""

    name: ClassVar[str] = "moe_sorting"
    computes_indices: ClassVar[bool] = True
    without_effect: ClassVar[tuple[str, ...]] = ("ci", "dispatch", "moe_buf_elem_bytes", "kname", "warmup", "repeat")
    fixed: ClassVar[Mapping[str, str]] = {"pr_i": "int32", "pr_w": "fp32", "moe_buf_interm_dim": "0"}

    tokens: int = count(128, "T.", "t")
    experts: int = count(8, "E.", "e")
    topk: int = count(4, "Experts of a token.", "k")
    block_size: int = count(32, "Rows of a block.", "unit")
    local_tokens: int = option(-1, "How many of the first tokens are real; -1: all.", key="local_t", type=click.INT)
    local_experts: tuple[int, ...] | None = option(
        None, "Ids of this rank's experts, ascending: 4,5,6; -1: all.", key="local_eid", type=IdList()
    )
    packed: bool = option(True, "Rows hold choice << 24 | token, or the token alone.")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        ids = distinct_ids(rng, self.tokens, self.experts, self.topk)
        return {
            "topk_ids": ids,
            "topk_weights": uniform_rows(rng, ids.shape, np.float32),
            "n_experts": self.experts,
            "block_size": self.block_size,
            "local_experts": self.local_experts,
            "local_tokens": self.rule.local_tokens,
            "packed": self.packed,
        }

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        expected = moe_sorting_reference(**arguments)
        pad = self.rule.row_id(self.rule.token_count(self.tokens), self.topk)
        return [
            equal("sorted ids", outputs[0], filled(expected.token_ids, self._rows, pad)),
            equal("sorted weights", outputs[1], filled(expected.weights, self._rows, 0)),
            equal("experts of blocks", outputs[2], filled(expected.expert_ids, self._blocks, -1)),
            Agreement("difference of rows in use", abs(outputs[3] - len(expected.token_ids)), 0),
        ]

    @property
    def rule(self) -> SortingRule:
        """What is sorted."""
        local = None if self.local_tokens < 0 else self.local_tokens
        return SortingRule(self.experts, self.block_size, self.local_experts, local, self.packed)

    @property
    def _blocks(self) -> int:
        return self.rule.block_count(self.tokens, self.topk)

    @property
    def _rows(self) -> int:
        return self._blocks * self.block_size

    @property
    def useful_bytes(self) -> int:
        """Ids and weights once, and the whole tables."""
        pairs = self.rule.token_count(self.tokens) * self.topk
        return (INT32 + FP32) * (pairs + self._rows) + INT32 * (self._blocks + 1)

    def heading(self) -> str:
        return f"[int32|fp32]tokens:{self.tokens}, experts:{self.experts}, topk:{self.topk}"

    def timing(self, us: float, gb_per_sec: float) -> str:
        return f" ms:{us / 1e3:f} "

    def peer_json(self) -> dict[str, Any]:
        return {
            "index_prec": "int32",
            "weight_prec": "fp32",
            "workspace_size": 0,
            "dispatch_policy": 0,
            "tokens": self.tokens,
            "num_experts": self.experts,
            "topk": self.topk,
        }


@dataclass(frozen=True)
class MoeAlignBlockSize(OpRequest):
    """Numbers of pairs by expert (SGLang, vLLM, aiter)."""

    name: ClassVar[str] = "moe_align_block_size"
    computes_indices: ClassVar[bool] = True

    tokens: int = count(32, "T.", "t")
    experts: int = count(224, "E.", "e")
    topk: int = count(12, "Experts of a token.", "k")
    block_size: int = count(128, "Rows of a block.", "unit")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        ids = distinct_ids(rng, self.tokens, self.experts, self.topk)
        return {"topk_ids": ids, "num_experts": self.experts, "block_size": self.block_size}

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        ids = arguments["topk_ids"]
        rows, experts = moe_align_block_size_reference(ids, self.experts, self.block_size)
        return [
            equal("sorted ids", outputs[0], filled(rows, self._blocks * self.block_size, ids.size)),
            equal("experts of blocks", outputs[1], filled(experts, self._blocks, -1)),
            Agreement("difference of rows in use", abs(outputs[2] - len(rows)), 0),
        ]

    @property
    def _blocks(self) -> int:
        return static_block_count(self.tokens * self.topk, 1, self.experts, self.block_size)

    @property
    def useful_bytes(self) -> int:
        """Ids once, and the whole tables."""
        return INT32 * (self.tokens * self.topk + self._blocks * (self.block_size + 1) + 1)

    def heading(self) -> str:
        return f"[int32] tokens:{self.tokens}, experts:{self.experts}, topk:{self.topk}, block_size:{self.block_size}"

    def peer_json(self) -> dict[str, Any]:
        return {
            "index_prec": "int32",
            "tokens": self.tokens,
            "num_experts": self.experts,
            "topk": self.topk,
            "block_size": self.block_size,
        }


def filled(used: list[int] | list[float], length: int, pad: float) -> Array:
    """The part of a table that is in use, and pads behind it."""
    return np.array([*used, *[pad] * (length - len(used))])
