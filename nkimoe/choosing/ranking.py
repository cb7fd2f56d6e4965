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
from nkimoe.planning.tiling import PARTITIONS, ceil_div
from nkisim.machine import load_machine

# Of the fastest estimate, as fast as that. Large blocks are fewer: what no count sees of a block is lost less often.
NEAR = 1.012

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
    """All alternatives: those that can be by their estimates, then the others. Of those about as fast as the fastest
    the largest blocks, in tiles of 128 slots, are first; equal ones, to three digits, stay in the order of `choices`.
    """
    load = layer.load
    found = [_judged(each, layer, plan_of) for each in choices(fixed, layer.is_mx, load.pairs, load.experts)]
    near = NEAR * min((each.estimate.us for each in found if each.estimate is not None), default=0.0)
    return sorted(found, key=lambda each: _place(each, near))


def _place(each: Alternative, near: float) -> tuple[bool, int, float]:
    """By which alternatives are sorted."""
    us = float("inf") if each.estimate is None else float(f"{each.estimate.us:.3g}")
    is_near = us <= near
    return not is_near, -ceil_div(each.choice.block_size, PARTITIONS) if is_near else 0, us


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
