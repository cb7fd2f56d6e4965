# SPDX-License-Identifier: Apache-2.0
"""All points of a sweep: the product of its axes, each a setup or the reason why it cannot be one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from nkimoe.choosing.tuned import TunedLayers
from nkimoe.cli.auto import AUTO, chosen, estimated, fixed_by
from nkimoe.cli.experiment import PAIRS, TOKENS, Setup
from nkimoe.cli.options import check_weights, variant_for
from nkimoe.cli.sweep.point import request_of
from nkimoe.cli.sweep.row import Point, labels_of
from nkimoe.errors import RequestError
from nkimoe.models import Model, RankLayout
from nkimoe.prefill.layout import PrefillLayout
from nkimoe.prefill.memory import check_memory
from nkimoe.prefill.transformer import Transformer
from nkimoe.routing.made_up import GivenRouting
from nkimoe.weights import MX_FORMATS

MOST_POINTS = 10_000


@dataclass(frozen=True)
class Grid:
    """What a sweep asks for.

    Attributes:
        layers: by name.
        ranks: how they divide the layer.
        axes: values by option: tokens, variant, block_size, strategy, weights, target.
        routings: by the name that was asked for; None: a router.
        lnc: NeuronCores of a rank.
        text: what a router routes.
        tuned: rows that decide what auto leaves open.
        wholes: the models that layers are of, by the same name, if a rank's memory has to hold its part of them.
    """

    layers: Mapping[str, Model]
    ranks: Sequence[RankLayout]
    axes: Mapping[str, tuple[Any, ...]]
    routings: Mapping[str, GivenRouting | None]
    lnc: int
    text: str
    tuned: TunedLayers | None = None
    wholes: Mapping[str, Transformer] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Points, those that are equal or impossible included."""
        count = len(self.layers) * len(self.routings) * len(self.ranks)
        for values in self.axes.values():
            count *= len(values)
        return count

    def points(self) -> Iterator[Point]:
        """Each that is different: one that has a plan, or is impossible."""
        seen = set()
        names = ("layer", "routing", "tokens", "ranks", *(name for name in self.axes if name != "tokens"))
        others = (self.axes[name] for name in names[4:])
        for values in itertools.product(self.layers, self.routings, self.axes["tokens"], self.ranks, *others):
            asked = dict(zip(names, values, strict=True))
            ranks = asked.pop("ranks")
            asked |= {"tp": ranks.tp, "ep": ranks.ep}
            point = self._point(asked)
            identity = repr([point.labels, point.setup and request_of(point.setup)])
            if identity not in seen:
                seen.add(identity)
                yield point

    def _point(self, asked: dict[str, Any]) -> Point:
        labels = self._labels(asked)
        try:
            setup = self._setup(asked)
            labels = labels_of(setup)
            estimate = estimated(setup)
        except (click.UsageError, RequestError) as error:
            reason = error.message if isinstance(error, click.UsageError) else str(error)
            return Point(asked, labels, reason=reason)
        return Point(asked, labels, setup, estimate.us)

    def _setup(self, asked: dict[str, Any]) -> Setup:
        model = self.layers[asked["layer"]]
        ranks = RankLayout(asked["tp"], asked["ep"])
        ranks.check(model)
        weights, target, routing = asked["weights"], asked["target"], self.routings[asked["routing"]]
        check_weights(weights, target, dequantise=False)
        whole = self.wholes.get(asked["layer"])
        if whole is not None:
            check_memory(whole, PrefillLayout(ranks, target, self.lnc), asked["tokens"], weights)
        if routing is not None:
            routing.expert_ids(1, model.E, model.K)  # refuses those of another layer
        setup = Setup(
            asked["layer"], ranks.tp, asked["tokens"], variant_for(asked["variant"], weights in MX_FORMATS), target,
            self.lnc, 0, weights, self.text, numerics=False, slots=PAIRS if ranks.ep == 1 else TOKENS, ep=ranks.ep,
            routing=routing, sizes=model,
        )  # fmt: skip
        return chosen(setup, fixed_by(asked), self.tuned)

    def _labels(self, asked: dict[str, Any]) -> dict[str, Any]:
        model = self.layers[asked["layer"]]
        sizes = {"hidden": model.H, "intermediate": model.I, "experts": model.E, "top_k": model.K}
        B, routing = asked["block_size"], self.routings[asked["routing"]]
        asked = asked | {
            "block_size": None if B == AUTO else B,  # a column of numbers
            "routing": asked["routing"] if routing is None else routing.name,
        }
        return {**asked, **sizes, "lnc": self.lnc, "slots": PAIRS if asked["ep"] == 1 else TOKENS}
