# SPDX-License-Identifier: Apache-2.0
"""Everything about one call of the kernel that is not a tensor, as a value that a graph can hold: text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nkimoe.pytorch.gate import Gate
from nkimoe.pytorch.options import Options
from nkimoe.weights.int8 import activation_arguments


@dataclass(frozen=True)
class Call:
    """How to launch, and what the experts do.

    Attributes:
        options: how to run.
        gate: activation, limits, offset.
        accumulate: whether a token has several experts.
        keeps: return the activations that the backward pass needs.
        exact_rows: of int8 weights whose activations become int8, too; None: activations stay as they are.
        choices: K where slots hold pairs (token, choice); None: they hold tokens.
        top_k, ep_degree: about rows * top_k / ep_degree pairs are of these experts: how many experts a row lists, and
            how many ranks share them. By default each row has one.
    """

    options: Options
    gate: Gate
    accumulate: bool
    keeps: bool = False
    exact_rows: int | None = None
    choices: int | None = None
    top_k: int = 1
    ep_degree: int = 1

    def to_text(self) -> str:
        """Words in a fixed order, written so that torch.compile can trace it."""
        o, g = self.options, self.gate
        limits = (g.gate_upper, g.gate_lower, g.up_upper, g.up_lower)
        launch = (o.variant, o.strategy, o.target, o.cores, o.block_size, o.weights)
        words = (
            *launch, self.accumulate, self.keeps, self.exact_rows, self.choices, self.top_k, self.ep_degree,
            g.activation, g.has_gate, g.up_offset, *limits,
        )  # fmt: skip
        return " ".join([str(word) for word in words])

    @classmethod
    def from_text(cls, text: str) -> Call:
        """The inverse of `to_text`, but for options that do not concern a launch."""
        variant, strategy, target, cores, block_size, weights, *words = text.split()
        accumulate, keeps, rows, choices, top_k, ep_degree, activation, has_gate, offset, *limits = words
        gate_upper, gate_lower, up_upper, up_lower = map(_limit, limits)
        gate = Gate(activation, gate_upper, gate_lower, up_upper, up_lower, float(offset), has_gate == "True")
        options = Options(variant, target, int(cores), _count(block_size), weights, strategy=strategy)
        flags = accumulate == "True", keeps == "True"
        return cls(options, gate, *flags, _count(rows), _count(choices), int(top_k), int(ep_degree))

    def arguments(self) -> dict[str, Any]:
        """Arguments of `moe_cte`."""
        return {
            "block_size": self.options.block_size,
            "is_tensor_update_accumulating": self.accumulate,
            **self.gate.arguments(),
            **activation_arguments(self.exact_rows),
        }


def _count(word: str) -> int | None:
    return None if word == "None" else int(word)


def _limit(word: str) -> float | None:
    return None if word == "None" else float(word)
