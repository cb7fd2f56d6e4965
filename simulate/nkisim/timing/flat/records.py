# SPDX-License-Identifier: Apache-2.0
"""What a schedule is computed from, as records: lists of objects, or arrays of structures where numba compiles.

Only int and float are there: -1 means none, and what is or is not is 1 or 0. Times are ns, rates bytes/ns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Rows = list[tuple[float, ...]]

NEVER = float("inf")

# Reasons of a `Timeline`, by their codes.
REASONS = ("start", "operand", "queue", "dma", "hbm", "meeting", "drain")
START, OPERAND, QUEUE, DMA, HBM, MEETING, DRAIN = range(len(REASONS))

QUARTERS = 4
CELLS = QUARTERS**2
"""Of the PE: quarters of its rows times quarters of its columns."""


@dataclass(slots=True)
class Instruction:
    """A task of a program.

    Attributes:
        core, work, epoch, meeting: as in `Task`.
        first, stop: what it waits for, or who waits for it, is from `first` to `stop` in a list that goes with it.
        queue: number of its queue, in an order.
        ordered, on_pe, on_dma: whether it is inside `no_reorder`, on the PE, on the DMA engines.
    """

    core: int
    work: int
    epoch: int
    meeting: int
    first: int
    stop: int
    queue: int
    ordered: int
    on_pe: int
    on_dma: int


@dataclass(slots=True)
class WorkCost:
    """What an instruction or a transfer costs, as in `Cost` and `Transfer`; zeros where it is the other one.

    Attributes:
        is_transfer: whether it is a transfer; the other attributes of one are from `issue` on.
        table: number of its function table.
        row, rows, column, columns: quarters of the PE that are occupied; no rows means all.
        moved: bytes of HBM; `hunger`: those for each nanosecond of work of an engine.
        engines_busy: how many engines have work; `is_even`: whether all have equally much.
    """

    is_transfer: int
    busy: float
    latency: float
    load: float
    counted: float
    table: int
    row: int
    rows: int
    column: int
    columns: int
    issue: float
    start: float
    complete: float
    longest: float
    total: float
    moved: float
    hunger: float
    descriptors: int
    engines_busy: int
    is_even: int


class Rates(NamedTuple):
    """Constants of a machine.

    Attributes:
        wake: from the end of a transfer until an engine sees it; `semaphore`: from engine to engine.
        table_load: how long a function table takes.
        window, slowdown, enough: of the clock of the PE; `enough` is the work in a window that the next is fast for.
        stack: of the HBM stack.
        engines: DMA engines of a core.
    """

    wake: float
    semaphore: float
    table_load: float
    window: float
    slowdown: float
    enough: float
    stack: float
    engines: int


@dataclass(slots=True)
class Epoch:
    """A stretch of the program of one core between two drains.

    Attributes:
        left: how many of its tasks are to be done or placed.
        drain: how long the core rests behind it; 0 behind the last one.
    """

    left: int
    drain: float


@dataclass(slots=True)
class Core:
    """A core, which is in one of its epochs.

    Attributes:
        first, last: numbers of its epochs; `epoch`: which of them, from 0.
        latest: the task that was done last.
        lanes: how many lanes its DMA engines form.
    """

    first: int
    last: int
    epoch: int
    latest: int
    lanes: int


@dataclass(slots=True)
class Meet:
    """A meeting: which task came first and when, and which one second, and when."""

    first: int
    first_at: float
    second: int
    second_at: float


@dataclass(slots=True)
class Line:
    """A stream in an order: its tasks are from `first` to `stop`; whether it is a PE's, and whether those may overtake.

    The latter are triggers of transfers whose descriptors are made in hardware.
    """

    core: int
    first: int
    stop: int
    is_pe: int
    overtakes: int


@dataclass(slots=True)
class Queue:
    """A stream of instructions, in order. At most `window` of them wait to start.

    None starts while `depth` descriptors or more are `under_way`: have not moved their bytes. Those held up wait for
    that. A queue that neither overtakes nor holds `runs_ahead`: its instructions run on an engine and start one by one,
    and others see what they did `seen_after` nanoseconds later.

    Attributes:
        first, stop: of its tasks, in the list of an order. limit: those before it are of an epoch that has begun.
        following: the first that does not wait yet.
        held: the last of those held up.
        free, last, reason: until when it was kept, and by what.
        arrived: how many of its transfers have come to the DMA engines.
        table: number of the function table that its engine holds.
        is_pe: whether its engine is a PE, whose matmuls on different tiles run side by side.
        is_split: whether the quarters of the PE are free at different times; `all_free`: the latest of them.
        clock: the window that the last matmul started in; `worked`: the work done in it; `is_full`: at full clock.
    """

    core: int
    first: int
    stop: int
    window: int
    depth: float
    runs_ahead: int
    seen_after: float
    is_pe: int
    following: int
    limit: int
    waiting: int
    under_way: int
    held: int
    free: float
    last: int
    reason: int
    arrived: int
    table: int
    is_split: int
    all_free: float
    clock: int
    worked: float
    is_full: int


@dataclass(slots=True)
class Times:
    """When a task runs; the first six are those of a `Timeline`.

    Attributes:
        ready: when what it waits for is there, of those that are taken in the order of time.
        blocked: the last of those that wait to know when it is done.
        next: the next in a ring of tasks that are blocked by the same task or held up in the same queue.
        meets: see `schedule`.
        left: how many DMA engines still have work for it.
    """

    issue: float
    begin: float
    end: float
    done: float
    because: int
    reason: int
    ready: float
    blocked: int
    next: int
    meets: int
    left: int
