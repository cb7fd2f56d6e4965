# SPDX-License-Identifier: Apache-2.0
"""The order in which a compiler lays the instructions of a program on their streams: a static list schedule.

The documentation of NKI says that the compiler is free to reorder independent operations; what holds them is data
(bytes, addresses included), `depends_on`, `no_reorder`, barriers, and the ends of device-loop iterations. It works
before anything runs, from estimates: it does not know when transfers really arrive. The engines then run their streams
in order.

A stream looks at the first `look_ahead` of its instructions that are not placed yet. Compute engines take the one with
the longest path of dependents behind it; triggers of transfers go in the order in which they can start, because a queue
of transfers runs in order and a long path says nothing about what it would hold up. Transfers with static descriptors
keep the order of the program: where loads of weights may pass a small load that waits for something, decode kernels of
nki-library come out a tenth too slow.
"""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.timing.flat.layout import cores_of, rates_of, works_of
from nkisim.timing.flat.placement import CoreLoad, Laid, PlacementState, ToPlace, Unplaced, place
from nkisim.timing.flat.records import NEVER, Line
from nkisim.timing.flat.ways import Way, worthwhile
from nkisim.timing.program import Program
from nkisim.timing.task import Stream

_BY_PATH = ("tensor", "vector", "scalar")
_STATIC = "dma"  # the queue of static descriptors


def compiler_order(
    program: Program, machine: Machine, look_ahead: int, way: Way | None = None
) -> dict[Stream, list[int]]:
    """Numbers of tasks by stream, in the order in which a compiler would place them.

    The orders of all streams and all dependencies together are free of circles: they are parts of one order.

    Args:
        look_ahead: how many instructions of a stream are looked at; 1 keeps program order.
        way: how it is computed, which makes no difference to the result; by default what takes least time.
    """
    way = way or worthwhile(2 * len(program.tasks))
    flat, rates = program.flat(way), rates_of(machine)
    tasks, followers, lines, numbers = flat.followers
    hbm_rate = rates.stack / max(1, len({core for core, _ in flat.streams}))
    works = works_of(program.works.costs(machine), way)
    cores, epochs = cores_of(flat.left, program.drains, machine, way)
    order = way.filled(flat.count, 0)
    state = PlacementState(
        way.records(ToPlace, flat.count, flat.after, 0.0, 0, 0, 0, -1, 0.0, -1),
        _queues(lines, flat.streams, look_ahead, way), cores, way.records(CoreLoad, len(cores), 0.0, 0.0), epochs,
        way.filled(flat.meetings, -1), order,
    )  # fmt: skip
    way.function(place)(Laid(tasks, followers, numbers, works, rates, hbm_rate), state)
    placed, stops = way.listed(order), way.listed(way.column(lines, "stop"))
    of_stream = {
        stream: placed[first:stop] for stream, first, stop in zip(flat.streams, [0, *stops], stops, strict=False)
    }
    return {stream: of_stream[stream] for stream in program.order}


def _queues(lines: list[Line], streams: list[Stream], look_ahead: int, way: Way) -> list[Unplaced]:
    """All of them, with nothing placed."""
    core, first, stop = (way.column(lines, name) for name in ("core", "first", "stop"))
    return way.records(
        Unplaced, len(streams), core, first, stop, [name in _BY_PATH for _, name in streams],
        [1 if name == _STATIC else look_ahead for _, name in streams], first, 0, 0, 0.0, -1, -1, NEVER, -1,
    )  # fmt: skip
