# SPDX-License-Identifier: Apache-2.0
"""Which row is best, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from nkimoe.cli.sweep.row import LAYOUT, SweepRow
from nkimoe.routing.made_up import UNIFORM
from nkisim.report.pictures import duration

LATENCY, RANK_TIME, COST = "latency", "rank-time", "cost"


def _latency(row: SweepRow) -> float:
    return row.prediction.latency_us if row.prediction else float("inf")


def _cost(row: SweepRow) -> float:
    cost = row.cost_per_million_tokens
    return float("inf") if cost is None else cost


OBJECTIVES: Mapping[str, Callable[[SweepRow], float]] = {
    LATENCY: _latency,
    RANK_TIME: lambda row: _latency(row) * row.ranks,
    COST: _cost,
}
"""What is least in the best row: time until the layer is done; that times its ranks; that times their price."""


@dataclass(frozen=True)
class Verdict:
    """The best row of those that do the same work: a layer, so many tokens, one routing."""

    best: SweepRow
    why: str

    def describe(self) -> str:
        """In one line."""
        labels = self.best.labels
        names = ("tp", "ep", "variant", "block_size", "strategy", "weights", "target", "routing")
        layout = ", ".join(f"{name.replace('_', ' ')} {labels[name]}" for name in names if labels[name] != "")
        return f"{labels['layer']}, {self.best.tokens:,} tokens: {layout}: {self.why}"


def judged(rows: Iterable[SweepRow], objective: str) -> tuple[list[SweepRow], list[Verdict]]:
    """The rows, each beside the one with uniform routing, the best of each kind marked; and a verdict a kind."""
    compared = _beside_uniform(list(rows))
    kinds: dict[tuple[object, ...], list[SweepRow]] = defaultdict(list)
    for row in compared:
        if row.prediction is not None:
            kinds[row.labels["layer"], row.labels["routing"], row.tokens].append(row)
    of_row = OBJECTIVES[objective]
    verdicts = []
    for kind in kinds.values():
        first, *others = sorted(kind, key=of_row)
        best = replace(first, is_best=True)
        compared[next(n for n, row in enumerate(compared) if row is first)] = best
        verdicts.append(Verdict(best, _why(best, others, objective)))
    return compared, verdicts


def _beside_uniform(rows: list[SweepRow]) -> list[SweepRow]:
    found = {_apart_from_routing(r): _latency(r) for r in rows if r.prediction and r.labels["routing"] == UNIFORM.name}
    return [replace(row, uniform_us=found.get(_apart_from_routing(row))) for row in rows]


def _apart_from_routing(row: SweepRow) -> tuple[object, ...]:
    return (row.tokens, *(row.labels[name] for name in LAYOUT if name != "routing"))


def _why(best: SweepRow, others: list[SweepRow], objective: str) -> str:
    """How far ahead it is, whether its interval says the same, and what bounds it."""
    found = best.prediction
    assert found is not None
    of_row = OBJECTIVES[objective]
    facts = f"{duration(found.latency_us)}, {found.roofline_us / found.latency_us:.0%} of the roofline, "
    bound = f"{facts}bound by {found.bound_by}"
    if not others:
        return f"{bound}; nothing to compare it with"
    second = others[0]
    assert second.prediction is not None
    lead = f"{1 - of_row(best) / of_row(second):.1%} less {objective} than {_difference(best, second)}"
    is_clear = objective == LATENCY and found.high_us < second.prediction.low_us
    doubt = "" if is_clear or objective != LATENCY else "; their intervals overlap"
    return f"{bound}; {lead}{doubt}"


def _difference(best: SweepRow, second: SweepRow) -> str:
    """What the second has that the best has not."""
    compared = (name for name in LAYOUT if name != "slots")  # which follow from ep
    names = [name for name in compared if best.labels[name] != second.labels[name] and second.labels[name] != ""]
    return ", ".join(f"{name} {second.labels[name]}" for name in names) or "the next"
