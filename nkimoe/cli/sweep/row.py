# SPDX-License-Identifier: Apache-2.0
"""Rows of a sweep: what a point is, what is predicted of it, and what follows for the whole layer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from nkimoe.cli.experiment import Setup
from nkimoe.cli.sweep.point import LayerPrediction, Outcome, splits_blocks

LAYOUT = (
    "layer", "tp", "ep", "variant", "block_size", "strategy", "weights", "target", "lnc", "slots", "routing",
)  # fmt: skip
PREDICTED = tuple(field.name for field in fields(LayerPrediction))
SIZES = ("hidden", "intermediate", "experts", "top_k")
DERIVED = (
    "estimated_us", "ranks", "tokens_per_s", "tokens_per_s_per_rank", "of_roofline", "over_uniform",
    "cost_per_million_tokens",
)  # fmt: skip
COLUMNS = (*LAYOUT[:1], *SIZES, "tokens", *LAYOUT[1:], *PREDICTED, *DERIVED, "best", "reason")
HOUR_US = 3600e6


@dataclass(frozen=True)
class Point:
    """What a row is of.

    Attributes:
        asked: the values of the axes, as asked for: of what is chosen, `auto`.
        labels: LAYOUT, SIZES and tokens by name; with what was chosen, if it could be.
        setup: None of a point that is impossible.
        estimated_us: what the model of cost says of it; infinite of a point that is impossible.
        reason: why it is.
    """

    asked: dict[str, Any]
    labels: dict[str, Any]
    setup: Setup | None = None
    estimated_us: float = float("inf")
    reason: str = ""


@dataclass(frozen=True)
class SweepRow:
    """One point, and what is known of it: a prediction, or why there can be none; else its estimate alone.

    Attributes:
        price_per_hour: of what one rank runs on; None: nobody asks.
        uniform_us: the latency of the same point with uniform routing; None: it is not in the sweep.
    """

    point: Point
    outcome: Outcome
    price_per_hour: float | None = None
    uniform_us: float | None = None
    is_best: bool = False

    @property
    def labels(self) -> dict[str, Any]:
        return self.point.labels

    @property
    def prediction(self) -> LayerPrediction | None:
        return self.outcome.prediction

    @property
    def is_done(self) -> bool:
        """Whether it is predicted, or there can be no prediction."""
        return self.prediction is not None or bool(self.outcome.reason)

    @property
    def ranks(self) -> int:
        return int(self.labels["tp"] * self.labels["ep"])

    @property
    def tokens(self) -> int:
        return int(self.labels["tokens"])

    @property
    def cost_per_million_tokens(self) -> float | None:
        """Of this layer, on all ranks, in what the price is in."""
        return None if self.prediction is None else self.cost_of(self.prediction.latency_us)

    def cost_of(self, us: float) -> float | None:
        """Of a million tokens, if the layer takes so long."""
        if self.price_per_hour is None:
            return None
        return us / HOUR_US * self.price_per_hour * self.ranks / self.tokens * 1e6

    @property
    def over_uniform(self) -> float | None:
        """Latency over that with uniform routing, if both are known."""
        found = self.prediction
        return None if found is None or not self.uniform_us else found.latency_us / self.uniform_us

    def as_json(self) -> dict[str, Any]:
        """COLUMNS; None where there is no prediction."""
        found = self.prediction
        predicted = {name: getattr(found, name, None) for name in PREDICTED}
        rate = None if found is None else self.tokens / found.latency_us * 1e6
        values: dict[str, Any] = {
            **self.labels,
            **predicted,
            "estimated_us": self.point.estimated_us if self.point.setup else None,
            "ranks": self.ranks,
            "tokens_per_s": rate,
            "tokens_per_s_per_rank": None if rate is None else rate / self.ranks,
            "of_roofline": None if found is None else found.roofline_us / found.latency_us,
            "over_uniform": self.over_uniform,
            "cost_per_million_tokens": self.cost_per_million_tokens,
            "best": self.is_best,
            "reason": self.outcome.reason,
        }
        return {name: values[name] for name in COLUMNS}


def labels_of(setup: Setup) -> dict[str, Any]:
    """What a row says of its point."""
    model = setup.layer_model
    return {
        "layer": setup.model, "hidden": model.H, "intermediate": model.I, "experts": model.E, "top_k": model.K,
        "tokens": setup.tokens, "tp": setup.tp, "ep": setup.ep, "variant": setup.variant,
        "block_size": setup.block_size, "strategy": setup.strategy.name if splits_blocks(setup) else "",
        "weights": setup.weights, "target": setup.target, "lnc": setup.lnc, "slots": setup.slots,
        "routing": "router" if setup.routing is None else setup.routing.name,
    }  # fmt: skip
