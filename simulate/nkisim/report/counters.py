# SPDX-License-Identifier: Apache-2.0
"""Quantities over time: what on-chip memory holds, how many bytes a second move."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from nkisim.dtypes import Array
from nkisim.memory import MemoryRegion
from nkisim.observe import Capacity
from nkisim.observe.placement import Lifetime
from nkisim.timing import Timeline

MOST_BINS = 2000
_LEAST_BIN = 100.0  # ns
Point = tuple[float, float]


class Stay(NamedTuple):
    """A tensor on chip, and when (ns) its first instruction begins and its last one is done."""

    tensor: Lifetime
    begin: float
    end: float


def stays(timeline: Timeline, capacity: Capacity, core: int, buffer: MemoryRegion) -> Iterator[Stay]:
    """The tensors of a memory that have a place in it, in the order of first use in the program."""
    numbers = {task.index: task.number for task in timeline.tasks if task.core == core}
    for life in capacity.lifetimes(core, buffer):
        begin, end = timeline.begin[numbers[life.first]], timeline.done[numbers[life.last]]
        if life.byte >= 0 and begin < end:
            yield Stay(life, begin, end)


def memory_in_use(timeline: Timeline, capacity: Capacity, core: int, buffer: MemoryRegion) -> Iterator[Point]:
    """(ns, bytes a partition of SBUF, or banks of PSUM) wherever it changes.

    A tensor counts from the begin of its first to the end of its last instruction in program order, at the bytes where
    the capacity check put it; bytes that two tensors share count once.
    """
    unit = capacity.machine.psum_bank_bytes if buffer is MemoryRegion.psum else 1
    changes: list[tuple[float, int, int, int]] = []
    for life, begin, end in stays(timeline, capacity, core, buffer):
        low, high = life.byte // unit, -(-(life.byte + life.size) // unit)
        changes += [(begin, 1, low, high), (end, -1, low, high)]
    tenants = np.zeros(max((high for *_, high in changes), default=0), np.int32)
    used, at = 0, 0.0
    for ns, sign, low, high in sorted(changes, key=lambda c: (c[0], c[1])):
        if ns > at:
            yield at, used
            at = ns
        part = tenants[low:high]
        if sign > 0:
            used += int(np.count_nonzero(part == 0))
            part += 1
        else:
            part -= 1
            used -= int(np.count_nonzero(part == 0))
    yield at, used


def dma_rate(timeline: Timeline, core: int) -> Iterator[Point]:
    """(ns, GB/s that the DMA engines of a core move), the mean of each bin, wherever it changes."""
    moves = ((task.number, transfer.nbytes) for task, transfer in timeline.transfers() if task.core == core)
    return _rate(timeline, moves)


def hbm_rate(timeline: Timeline) -> Iterator[Point]:
    """(ns, GB/s read from and written to HBM, all cores together), likewise."""
    return _rate(timeline, ((task.number, transfer.hbm_bytes) for task, transfer in timeline.transfers()))


def _rate(timeline: Timeline, moves: Iterable[tuple[int, int]]) -> Iterator[Point]:
    """Bytes of each transfer spread evenly over its time, summed in bins."""
    rows = [(timeline.begin[n], max(timeline.end[n], timeline.begin[n] + 1.0), nbytes) for n, nbytes in moves if nbytes]
    if not rows:
        return
    begin, end, nbytes = np.array(rows).T
    width = max(_LEAST_BIN, timeline.latency_ns / MOST_BINS)
    edges = np.arange(int(timeline.latency_ns / width) + 2) * width
    moved = np.diff(done_until(edges, begin, end, nbytes)) / width
    last = -1.0
    for at, rate in zip([*edges[:-1], edges[-1]], [*np.round(moved, 1), 0.0], strict=True):
        if rate != last:
            yield float(at), float(rate)
            last = rate


def done_until(edges: Array, begin: Array, end: Array, amount: Array) -> Array:
    """How much was done before each edge, where each `amount` is spread evenly over its time."""
    rate = amount / (end - begin)
    at = np.concatenate((begin, end))
    order = np.argsort(at, kind="stable")
    at, change = at[order], np.concatenate((rate, -rate))[order]
    total = np.concatenate(([0.0], np.cumsum(np.cumsum(change)[:-1] * np.diff(at))))
    return np.interp(edges, at, total)
