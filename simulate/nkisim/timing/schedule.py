# SPDX-License-Identifier: Apache-2.0
"""Program to timeline: tasks start in order on their queues, as soon as what they wait for is there."""

from __future__ import annotations

from collections.abc import Mapping

from nkisim.errors import SimulationError
from nkisim.machine import Machine
from nkisim.timing.flat.dma_engines import Flow, Lane, Place
from nkisim.timing.flat.layout import cores_of, engines_of, rates_of, works_of
from nkisim.timing.flat.program import FlatProgram
from nkisim.timing.flat.records import CELLS, NEVER, QUEUE, REASONS, Line, Meet, Queue, Times
from nkisim.timing.flat.schedule import Given, ScheduleState, run
from nkisim.timing.flat.ways import Way, worthwhile
from nkisim.timing.program import Program
from nkisim.timing.task import Stream, Task
from nkisim.timing.timeline import Timeline

_SHOWN = ("issue", "begin", "end", "done", "because", "reason")


def schedule(
    program: Program, machine: Machine, order: Mapping[Stream, list[int]] | None = None, way: Way | None = None
) -> Timeline:
    """When each task of `program` runs on `machine`.

    Args:
        order: numbers of tasks by stream; by default program order, but for a few transfers (`_window`).
        way: how it is computed, which makes no difference to the result; by default what takes least time.

    Raises:
        SimulationError: tasks wait for each other.
    """
    way = way or worthwhile(len(program.tasks))
    times = _times_of(program, machine, order, way)
    issue, begin, end, done, because, reason = (way.listed(way.column(times, name)) for name in _SHOWN)
    return Timeline(
        machine, program.tasks, program.works.examples, program.works.costs(machine), issue, begin, end, done, because,
        [REASONS[code] for code in reason], program.order if order is None else order,
    )  # fmt: skip


def latency_ns(
    program: Program, machine: Machine, order: Mapping[Stream, list[int]] | None = None, way: Way | None = None
) -> float:
    """That of the timeline that `schedule` makes."""
    way = way or worthwhile(len(program.tasks))
    return max(way.listed(way.column(_times_of(program, machine, order, way), "done")), default=0.0)


def _times_of(program: Program, machine: Machine, order: Mapping[Stream, list[int]] | None, way: Way) -> list[Times]:
    flat, rates, costs = program.flat(way), rates_of(machine), program.works.costs(machine)
    taken = program.order if order is None else order
    laid = flat.in_order(taken)
    windows = [1 if order is not None else _window(program.tasks, numbers, machine) for numbers in taken.values()]
    cores, epochs = cores_of(flat.left, program.drains, machine, way)
    times, queues = _times(flat), _queues(laid.lines, taken, windows, machine, way)
    engines = engines_of(costs, rates.engines, way)
    given = Given(laid.tasks, laid.waits, laid.numbers, works_of(costs, way), engines, rates)
    cells, meetings = [[0.0] * CELLS for _ in taken], way.records(Meet, flat.meetings, -1, 0.0, -1, 0.0)
    state = ScheduleState(
        times, way.filled(2 * flat.count, NEVER), queues, way.rows(cells, CELLS), cores, epochs, meetings,
        *_dma(len(cores), rates.engines, len(taken), flat),
    )  # fmt: skip
    left = way.function(run)(given, state)
    if left:
        raise SimulationError(
            "every instruction can start some day",
            f"{left} wait for each other",
            "Look for a depends_on against the program order of an engine.",
        )
    return times


def _window(tasks: list[Task], numbers: list[int], machine: Machine) -> int:
    """How many instructions of a queue in program order may wait at a time; the first that can start does.

    One, but for transfers with descriptors made in hardware: a compiler moves their triggers ahead of those that must
    wait, unless the kernel forbids it.
    """
    if not tasks[numbers[0]].queue.startswith("dge") or any(tasks[number].ordered for number in numbers):
        return 1
    return machine["dma.moved_ahead"]


def _queues(
    lines: list[Line], order: Mapping[Stream, list[int]], windows: list[int], machine: Machine, way: Way
) -> list[Queue]:
    """All of them before the first instruction."""
    number, names = machine.number, [name for _, name in order]
    holds = [name.startswith("dge") for name in names]
    core, first, stop, is_pe = (way.column(lines, name) for name in ("core", "first", "stop", "is_pe"))
    return way.records(
        Queue, len(names), core, first, stop, windows, [number("dma.queued") if each else NEVER for each in holds],
        [window == 1 and not each for window, each in zip(windows, holds, strict=True)],
        [number("dma.to_engine" if name == "dma" else "sync.semaphore") for name in names], is_pe,
        first, first, 0, 0, -1, 0.0, -1, QUEUE, 0, -1, 0, 0.0, 0, 0.0, 0,
    )  # fmt: skip


def _times(flat: FlatProgram) -> list[Times]:
    """Nothing is known of any task; `begin` is -1 until it is."""
    return flat.way.records(
        Times, flat.count, 0.0, -1.0, 0.0, 0.0, -1, flat.reasons, 0.0, -1, -1, flat.meets, 0
    )  # fmt: skip


def _dma(
    cores: int, engines: int, queues: int, flat: FlatProgram
) -> tuple[list[Flow], list[Lane], list[int], list[int], list[Place], list[int]]:
    """The DMA engines, all idle: one lane a core."""
    way, total = flat.way, cores * engines
    firsts = [number - number % engines for number in range(total)]
    sizes = [engines if number == first else 0 for number, first in enumerate(firsts)]
    return (
        way.records(Flow, 1, 0.0, 0.0, 0.0, 1.0, NEVER, 0, 0),
        way.records(Lane, total, [first // engines for first in firsts], 0, sizes, 0.0, 0.0, 0.0, 0),
        way.ints(firsts),
        way.ints(firsts.copy()),
        way.records(Place, total * queues, 0, 0),
        way.filled(flat.count, 0),
    )
