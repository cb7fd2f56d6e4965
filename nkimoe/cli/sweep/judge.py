# SPDX-License-Identifier: Apache-2.0
"""Which row is best, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from nkimoe.cli.sweep.row import LAYOUT, SweepRow
from nkimoe.routing.made_up import UNIFORM
from nkisim.report.pictures import duration

KIND = ("layer", "routing", "weights", "target")  # labels, beside tokens, of rows that are compared
LATENCY, RANK_TIME, COST = "latency", "rank-time", "cost"

Objective = Callable[[SweepRow, float], float]
"""Of a row, if its layer takes so many microseconds."""

OBJECTIVES: Mapping[str, Objective] = {
    LATENCY: lambda _, us: us,
    RANK_TIME: lambda row, us: us * row.ranks,
    COST: lambda row, us: row.cost_of(us) or float("inf"),
}
"""What is least in the best row: time until the layer is done; that times its ranks; that times their price."""


@dataclass(frozen=True)
class Verdict:
    """The best row of a kind, and why it is."""

    best: SweepRow
    why: str

    def describe(self) -> str:
        """In one line."""
        labels = self.best.labels
        names = ("tp", "ep", "variant", "block_size", "strategy", "weights", "target", "routing")
        layout = ", ".join(f"{name.replace('_', ' ')} {labels[name]}" for name in names if labels[name] != "")
        return f"{labels['layer']}, {self.best.tokens:,} tokens: {layout}: {self.why}"


def kind_of(row: SweepRow) -> tuple[object, ...]:
    """Rows are compared that do the same work with the same weights on the same machine."""
    return (row.tokens, *(row.labels[name] for name in KIND))


def judged(rows: Iterable[SweepRow], objective: str) -> tuple[list[SweepRow], list[Verdict]]:
    """The rows, each beside the one with uniform routing, the best of each kind marked; and a verdict a kind."""
    compared = _beside_uniform(list(rows))
    kinds: dict[tuple[object, ...], list[SweepRow]] = defaultdict(list)
    for row in compared:
        if not row.outcome.reason:
            kinds[kind_of(row)].append(row)
    of_row = OBJECTIVES[objective]
    verdicts = []
    for kind in kinds.values():
        values = [(of_row(row, us), row) for row in kind if (us := latency_of(row)) is not None]
        if values:
            (_, first), *others = sorted(values, key=lambda each: each[0])
            best = replace(first, is_best=True)
            compared[next(n for n, row in enumerate(compared) if row is first)] = best
            verdicts.append(Verdict(best, _why(best, [row for _, row in others], len(kind) - len(values), objective)))
    return compared, verdicts


def latency_of(row: SweepRow) -> float | None:
    """In microseconds, if it is predicted."""
    return None if row.prediction is None else row.prediction.latency_us


def _beside_uniform(rows: list[SweepRow]) -> list[SweepRow]:
    found = {_apart_from_routing(r): latency_of(r) for r in rows if r.labels["routing"] == UNIFORM.name}
    return [replace(row, uniform_us=found.get(_apart_from_routing(row))) for row in rows]


def _apart_from_routing(row: SweepRow) -> tuple[object, ...]:
    return (row.tokens, *(row.labels[name] for name in LAYOUT if name != "routing"))


def _why(best: SweepRow, others: list[SweepRow], estimated: int, objective: str) -> str:
    """How far ahead it is, whether its interval says the same, and what bounds it; of how many there is an estimate."""
    found = best.prediction
    assert found is not None
    of_row = OBJECTIVES[objective]
    facts = f"{duration(found.latency_us)}, {found.roofline_us / found.latency_us:.0%} of the roofline, "
    bound = f"{facts}bound by {found.bound_by}"
    far = f"; far behind by estimate: {estimated}" if estimated else ""
    if not others:
        return bound + (far or "; nothing to compare it with")
    second = others[0]
    assert second.prediction is not None
    ratio = of_row(best, found.latency_us) / of_row(second, second.prediction.latency_us)
    lead = f"{1 - ratio:.1%} less {objective} than {_difference(best, second)}"
    is_clear = objective == LATENCY and found.high_us < second.prediction.low_us
    doubt = "" if is_clear or objective != LATENCY else "; their intervals overlap"
    return f"{bound}; {lead}{doubt}{far}"


def _difference(best: SweepRow, second: SweepRow) -> str:
    """What the second has that the best has not."""
    compared = (name for name in LAYOUT if name != "slots")  # which follow from ep
    names = [name for name in compared if best.labels[name] != second.labels[name] and second.labels[name] != ""]
    return ", ".join(f"{name} {second.labels[name]}" for name in names) or "the next"
