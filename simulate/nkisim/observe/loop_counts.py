# SPDX-License-Identifier: Apache-2.0
"""Device loops that run more often on one core than on the other.

Users report that a device hangs in it, or that a compiler refuses it. Loops without anything that the cores share are
not told apart from others, so it is a note.
"""

from __future__ import annotations

from dataclasses import dataclass

from nkisim.errors import DeviceRisk, Location, kernel_location
from nkisim.observe.event import Finding, LoopMark, Observer
from nkisim.observe.ignored import Note


@dataclass(slots=True)
class LoopRun:
    """One device loop of one core."""

    location: Location
    iterations: int = 0


class LoopCounts(Observer):
    """Compares the loops of both cores, in their order; one note a kernel line."""

    def __init__(self) -> None:
        self._runs: dict[int, list[LoopRun]] = {0: [], 1: []}
        self._open: dict[int, list[LoopRun]] = {0: [], 1: []}

    def on_loop(self, core: int, mark: LoopMark, since: int) -> None:
        if mark is LoopMark.begin:
            self._open[core].append(LoopRun(kernel_location()))
            self._runs[core].append(self._open[core][-1])
        elif mark is LoopMark.iteration:
            self._open[core][-1].iterations += 1
        else:
            self._open[core].pop()

    def on_finish(self) -> list[Finding]:
        pairs = zip(self._runs[0], self._runs[1], strict=False)
        unequal = {a.location: (a, b) for a, b in pairs if a.iterations != b.iterations}
        return [Note(_risk(a, b)) for a, b in unequal.values()]


def _risk(a: LoopRun, b: LoopRun) -> DeviceRisk:
    return DeviceRisk(
        "device loops run equally often on both cores: devices were seen to hang",
        f"{a.iterations} iterations on core 0, {b.iterations} on core 1",
        "Give both the same bounds, and let iterations without work do nothing.",
        a.location,
    )
