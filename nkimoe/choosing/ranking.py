# SPDX-License-Identifier: Apache-2.0
"""The alternatives of a call, best first, and why others cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nkimoe.choosing.choice import Fixed, LayerChoice, choices
from nkimoe.choosing.cost import CostEstimate, estimate
from nkimoe.choosing.layer import Layer
from nkimoe.errors import RequestError
from nkimoe.planning.plan import Plan
from nkisim.machine import load_machine

PlanOf = Callable[[LayerChoice], Plan]
"""The plan of the call with a choice. Raises RequestError if that cannot be."""


@dataclass(frozen=True)
class Alternative:
    """A choice.

    Attributes:
        estimate: what the model of cost says; None: it cannot be.
        refusal: why not.
    """

    choice: LayerChoice
    estimate: CostEstimate | None
    refusal: RequestError | None = None


def ranked(layer: Layer, fixed: Fixed, plan_of: PlanOf) -> list[Alternative]:
    """All alternatives: those that can be by their estimates, then the others. Equal ones, to three digits, stay in the
    order of `choices`.
    """
    load = layer.load
    found = [_judged(each, layer, plan_of) for each in choices(fixed, layer.is_mx, load.pairs, load.experts)]
    return sorted(found, key=_us)


def _us(each: Alternative) -> float:
    """To three digits; what cannot be takes for ever."""
    return float("inf") if each.estimate is None else float(f"{each.estimate.us:.3g}")


def best_choice(layer: Layer, fixed: Fixed, plan_of: PlanOf) -> LayerChoice:
    """The first of `ranked`.

    Raises:
        RequestError: none can be; what is wrong with the first one.
    """
    best = ranked(layer, fixed, plan_of)[0]
    if best.refusal is not None:
        raise best.refusal
    return best.choice


def _judged(choice: LayerChoice, layer: Layer, plan_of: PlanOf) -> Alternative:
    try:
        plan = plan_of(choice)
    except RequestError as refusal:
        return Alternative(choice, None, refusal)
    return Alternative(choice, estimate(plan, layer, load_machine(plan.target.name)))
