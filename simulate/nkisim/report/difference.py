# SPDX-License-Identifier: Apache-2.0
"""Two predictions side by side: what got slower, by resource, engine, stage and line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nkisim.report.pictures import duration
from nkisim.report.tables import aligned

MOST_ROWS = 8
LEAST_SHARE = 0.002  # of the slower latency: what moved less is left out of tables


@dataclass(frozen=True)
class Change:
    """What one thing took before and after, in predicted microseconds."""

    name: str
    before_us: float
    after_us: float

    @property
    def us(self) -> float:
        return self.after_us - self.before_us


@dataclass(frozen=True)
class Difference:
    """How one prediction differs from another, from their JSON.

    Attributes:
        before, after: as `Profile.to_json` gives them, or `predicted` of a file of `nkisim run` or `nkimoe run`.
    """

    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def latency(self) -> Change:
        return Change("latency", self.before["latency_us"], self.after["latency_us"])

    @property
    def ratio(self) -> float:
        """How many times as long it takes after; infinite from nothing to something."""
        latency = self.latency
        if not latency.before_us:
            return 1.0 if not latency.after_us else float("inf")
        return latency.after_us / latency.before_us

    @property
    def is_certain(self) -> bool:
        """Whether the intervals of the two predictions lie apart."""
        (low, high), (after_low, after_high) = self.before["interval_us"], self.after["interval_us"]
        return bool(after_low > high or after_high < low)

    def resources(self) -> list[Change]:
        """Time on the critical path, by what it was spent on."""
        return _changes(self.before["critical_path_us"], self.after["critical_path_us"])

    def engines(self) -> list[Change]:
        """Time at work, the mean of the cores."""
        before, after = (
            {n: use["busy_us"] for n, use in each["engines"].items()} for each in (self.before, self.after)
        )
        return _changes(before, after)

    def stages(self) -> list[Change]:
        """Time on the critical path, by file and function of the kernel."""
        return _changes(*(_critical(each, "stage") for each in (self.before, self.after)))

    def lines(self) -> list[Change]:
        """Time on the critical path, by kernel line: the same line is one of the same stage with the same text."""
        return _changes(*(_critical(each, "stage", "source", "opcode") for each in (self.before, self.after)))

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        latency = self.latency
        word = "slower" if latency.us > 0 else "faster"
        yield f"predicted {duration(latency.before_us)} before, {duration(latency.after_us)} after: " + (
            f"{abs(100 * (self.ratio - 1)):.1f}% {word}" if latency.us else "the same"
        )
        if latency.us and not self.is_certain:
            yield "the intervals of the two predictions overlap"
        tables = {
            "critical path by resource": self.resources(), "engines at work": self.engines(),
            "critical path by stage": self.stages(), "critical path by line": self.lines(),
        }  # fmt: skip
        least = LEAST_SHARE * max(latency.before_us, latency.after_us)
        for title, changes in tables.items():
            moved = [each for each in changes if abs(each.us) > least][:MOST_ROWS]
            if moved:
                rows = [(duration(c.before_us), duration(c.after_us), f"{c.us:+.3g} us", c.name) for c in moved]
                yield ""
                yield from aligned([("before", "after", "change", title), *rows], right=(0, 1, 2))


def _changes(before: Mapping[str, float], after: Mapping[str, float]) -> list[Change]:
    """One for each name in either, what got slower most first, then what got faster."""
    names = dict.fromkeys((*before, *after))
    changes = [Change(name, before.get(name, 0.0), after.get(name, 0.0)) for name in names]
    return sorted(changes, key=lambda each: -each.us)


def _critical(prediction: Mapping[str, Any], *keys: str) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for line in prediction["lines"]:
        total["  ".join(line[key] for key in keys if line[key])] += line["critical_us"]
    return total
