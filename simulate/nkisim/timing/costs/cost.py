# SPDX-License-Identifier: Apache-2.0
"""What an instruction costs its engine, and when its result can be used."""

from __future__ import annotations

from dataclasses import dataclass, field

from nkisim.timing.duration import NOTHING, Duration


@dataclass(slots=True, eq=False)
class Cost:
    """Durations of one instruction.

    Attributes:
        busy: the engine cannot start another instruction for so long (the issue interval).
        latency: from start to the moment other instructions can use the result.
        load: before the start, the engine prepares for so long, while its previous instruction still runs (weights of
            the PE).
        tile: cells of the PE that are occupied, as (first row, rows, first column, columns) in quarters; None: all.
        counted: the share of `busy` that the PE's clock counts as work.
        table: the function table of the Scalar Engine that must be loaded, or None.
    """

    busy: Duration
    latency: Duration
    load: Duration = NOTHING
    tile: tuple[int, int, int, int] | None = None
    counted: float = 1.0
    table: str | None = None
    busy_ns: float = field(init=False)
    latency_ns: float = field(init=False)
    load_ns: float = field(init=False)

    def __post_init__(self) -> None:
        self.busy_ns, self.latency_ns, self.load_ns = self.busy.ns, self.latency.ns, self.load.ns
