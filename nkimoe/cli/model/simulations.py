# SPDX-License-Identifier: Apache-2.0
"""Which simulations stand for a step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nkimoe.choosing import Fixed
from nkimoe.cli.auto import AUTO, chosen
from nkimoe.cli.experiment import PAIRS, TOKENS, Setup
from nkimoe.cli.model.library import Checkout, has_kernel
from nkimoe.cli.model.sample import ExpertLayer, LibraryKernel, Sample, Simulated, Tables
from nkimoe.cli.options import variant_for
from nkimoe.prefill.estimate import Estimate, extended
from nkimoe.prefill.steps import ATTENTION, EXPERTS, TABLES, Compute, Prefill
from nkimoe.routing.made_up import GivenRouting
from nkimoe.weights import MX_FORMATS

# Most rows that are simulated; the time of more follows from those, and from fractions of them.
MOST_SIMULATED = {ATTENTION: 2048, EXPERTS: 8192, TABLES: 8192}
MOST_OF_OTHERS = 4096


@dataclass(frozen=True)
class Simulations:
    """Where a model's steps are simulated.

    Attributes:
        name: of the model.
        routings: how tokens choose experts: one way, None for a router; or the least, a middling and the most uneven.
        text: what a router routes.
        library: of nki-library; None: its steps are left to arithmetic.
    """

    name: str
    routings: tuple[GivenRouting | None, ...]
    text: str
    library: Checkout | None

    def of(self, prefill: Prefill, step: Compute) -> tuple[tuple[int, tuple[Simulated, ...]], ...]:
        """By rows; none if no kernel stands for the step."""
        found = ((rows, self._at(prefill, replace(step, tokens=rows))) for rows in rows_simulated(step))
        return tuple((rows, asked) for rows, asked in found if asked)

    def _at(self, prefill: Prefill, step: Compute) -> tuple[Simulated, ...]:
        layout = prefill.layout
        if step.kind == EXPERTS:
            return tuple(ExpertLayer(self._setup(prefill, step.tokens, routing)) for routing in self.routings)
        if step.kind == TABLES:
            layer = self._setup(prefill, step.tokens, self.routings[len(self.routings) // 2])
            sizes = (layer.slots, layer.block_size, layout.target, layout.lnc)
            return (Tables(prefill.model.moe, step.tokens, *sizes),)
        if self.library is not None and has_kernel(step.kind, step.size):
            return (LibraryKernel(self.library, step, layout.target, layout.lnc),)
        return ()

    def _setup(self, prefill: Prefill, tokens: int, routing: GivenRouting | None) -> Setup:
        moe, layout = prefill.model.moe, prefill.layout
        ranks = layout.experts
        setup = Setup(
            self.name, ranks.tp, tokens, variant_for(AUTO, prefill.weights in MX_FORMATS), layout.target, layout.lnc,
            0, prefill.weights, self.text, numerics=False, slots=PAIRS if ranks.ep == 1 else TOKENS, ep=ranks.ep,
            routing=routing, sizes=moe,
        )  # fmt: skip
        return chosen(setup, Fixed())


def rows_simulated(step: Compute) -> tuple[int, ...]:
    """How many rows are simulated for so many: themselves, or those their time follows from.

    Work grows in proportion to rows, but attention's and that of tables with their square.
    """
    most = MOST_SIMULATED.get(step.kind, MOST_OF_OTHERS)
    if step.tokens <= most:
        return (step.tokens,)
    grows_squared = step.kind == TABLES or (step.kind == ATTENTION and not step.size["window"])
    return (most // 4, most // 2, most) if grows_squared else (most // 2, most)


def estimate_of(samples: list[tuple[int, tuple[Sample, ...]]], rows: int) -> Estimate | None:
    """Of a call with so many rows; None if a simulation failed."""
    known = []
    for _, each in samples:
        found = [sample.estimate for sample in each if sample.estimate is not None]
        if len(found) < len(each):
            return None
        known.append(_together(found))
    return known[0] if len(known) == 1 else extended([size for size, _ in samples], known, rows)


def _together(found: list[Estimate]) -> Estimate:
    """The middle one; the bounds of all."""
    in_order = sorted(found, key=lambda each: each.us)
    low, high = min(each.low_us for each in found), max(each.high_us for each in found)
    return Estimate(in_order[len(found) // 2].us, low, high)
