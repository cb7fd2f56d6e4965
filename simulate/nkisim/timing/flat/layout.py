# SPDX-License-Identifier: Apache-2.0
"""What machines and costs are as records, and cores with their epochs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain

from nkisim.machine import Machine
from nkisim.timing.costs import Cost, Transfer
from nkisim.timing.drains import Drain
from nkisim.timing.duration import NOTHING
from nkisim.timing.flat.records import Core, Epoch, Rates, Rows, WorkCost
from nkisim.timing.flat.ways import Way

_NO_COST = Cost(NOTHING, NOTHING, counted=0.0)
_NO_TRANSFER = Transfer(NOTHING, NOTHING, (), NOTHING, NOTHING, 0, 0, 0)
_NO_TILE = (0, 0, 0, 0)


def rates_of(machine: Machine) -> Rates:
    """The constants of a machine."""
    number, window = lambda key: float(machine.number(key)), float(machine.number("pe_time.window"))
    return Rates(
        wake=number("dma.to_engine"),
        semaphore=number("sync.semaphore"),
        table_load=number("act_time.table_load"),
        window=window,
        slowdown=number("pe_time.slowdown"),
        enough=number("pe_time.window_use") * window,
        stack=number("hbm.stack_rate"),
        engines=machine["dma.engines"],
    )


def works_of(costs: Sequence[Cost | Transfer], way: Way) -> list[WorkCost]:
    """What the works of a program cost."""
    given = [c if isinstance(c, Cost) else _NO_COST for c in costs]
    moved = [c if isinstance(c, Transfer) else _NO_TRANSFER for c in costs]
    tables = {table: n for n, table in enumerate({c.table for c in given} - {None})} | {None: -1}
    tiles = [c.tile or _NO_TILE for c in given]
    return way.records(
        WorkCost, len(costs), [isinstance(c, Transfer) for c in costs], [c.busy_ns for c in given],
        [c.latency_ns for c in given], [c.load_ns for c in given], [c.counted for c in given],
        [tables[c.table] for c in given], *([tile[n] for tile in tiles] for n in range(4)),
        [c.issue_ns for c in moved], [c.start_ns for c in moved], [c.complete_ns for c in moved],
        [c.longest_ns for c in moved], [c.total_ns for c in moved], [float(c.hbm_bytes) for c in moved],
        [c.hbm_bytes / (c.total_ns or 1.0) for c in moved], [c.descriptors for c in moved], [c.busy for c in moved],
        [c.is_even for c in moved],
    )  # fmt: skip


def engines_of(costs: Sequence[Cost | Transfer], engines: int, way: Way) -> Rows:
    """Of each work the nanoseconds of each of so many DMA engines."""
    idle = (0.0,) * engines
    return way.rows([c.engines if isinstance(c, Transfer) else idle for c in costs], engines)


def cores_of(
    left: Sequence[Sequence[int]], drains: Sequence[Sequence[Drain]], machine: Machine, way: Way
) -> tuple[list[Core], list[Epoch]]:
    """All cores before they begin, and their epochs.

    Args:
        left: of each core, how many tasks its epochs have.
        drains: of each core, those before its epoch 1, 2, ...
    """
    stops = list(accumulate([len(of) for of in left]))
    rests = [[*[drain.cost(machine).ns for drain in of], 0.0] for of in drains]
    cores = way.records(Core, len(drains), [0, *stops[:-1]], [stop - 1 for stop in stops], 0, -1, 1)
    epochs = way.records(Epoch, stops[-1], [*chain.from_iterable(left)], [*chain.from_iterable(rests)])
    return cores, epochs
