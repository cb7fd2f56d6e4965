# SPDX-License-Identifier: Apache-2.0
"""DMA: what the engines move, run by run, and what it costs to start that."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from nkisim.machine import Machine
from nkisim.memory import Access
from nkisim.observe import CostClass, Event, Meeting
from nkisim.timing.costs.dma_issue import issue_cost, start_cost
from nkisim.timing.costs.runs import columns_last, common_run, hbm_run, row_run
from nkisim.timing.duration import Duration, duration, fixed

DMA_WORK = (CostClass.transfer, CostClass.transpose, CostClass.accumulating_transfer)
"""What `transfer` is a formula of."""


@dataclass(slots=True, eq=False)
class Transfer:
    """One DMA transfer.

    Attributes:
        issue: the triggering queue is busy so long.
        start: from the trigger to the first byte.
        engines: nanoseconds of work for each DMA engine.
        moving: what the longest of them is made of.
        complete: from the last byte to the semaphore.
        hbm_bytes: bytes read from or written to HBM.
        descriptors, nbytes: in all.
        longest_ns, total_ns: of `engines`; `busy`: how many of them have work; `is_even`: all have equally much.
    """

    issue: Duration
    start: Duration
    engines: tuple[float, ...]
    moving: Duration
    complete: Duration
    hbm_bytes: int
    descriptors: int
    nbytes: int
    issue_ns: float = field(init=False)
    start_ns: float = field(init=False)
    complete_ns: float = field(init=False)
    longest_ns: float = field(init=False)
    total_ns: float = field(init=False)
    busy: int = field(init=False)
    is_even: bool = field(init=False)

    def __post_init__(self) -> None:
        self.issue_ns, self.start_ns, self.complete_ns = self.issue.ns, self.start.ns, self.complete.ns
        self.longest_ns, self.total_ns = max(self.engines, default=0.0), sum(self.engines)
        self.busy, self.is_even = sum(work > 0 for work in self.engines), len(set(self.engines)) == 1


def transfer(event: Event, machine: Machine) -> Transfer:
    """The work of a DMA instruction. Partitions 8e to 8e+7 belong to engine e."""
    engines = [0.0] * machine["dma.engines"]
    moving, descriptors, nbytes, hbm = Duration(), 0, 0, 0
    packet = machine["dma.packet"]
    for source, target in _pairs(event):
        run = max(1, _run_of(event, source, target, packet))
        amount = max(source.nbytes, target.nbytes)
        pieces = -(-amount // run)
        together = min(hbm_run(source, target, run), packet)
        share = _share_of_rate(event, source, machine)
        loads = _spread(pieces, target if target.storage.buffer.is_on_chip else source, machine)
        each = {n: _engine_time(machine, n, n * run, together).times(1 / share) for n in set(loads)}
        for e, n in enumerate(loads):
            engines[e] += each[n].ns
        moving = moving.plus(each[max(loads)])
        descriptors, nbytes = descriptors + max(pieces, -(-amount // together)), nbytes + amount
        hbm += sum(a.nbytes for a in (source, target) if not a.storage.buffer.is_on_chip)
    return Transfer(
        issue_cost(event, descriptors, machine), start_cost(event, machine), tuple(engines), moving,
        fixed(machine, "dma.complete"), hbm, descriptors, nbytes,
    )  # fmt: skip


def _pairs(event: Event) -> list[tuple[Access, Access]]:
    """Sources with what each writes: one for a copy, one for each term of an accumulation."""
    if not event.writes:
        return []
    target = event.writes[0]
    return [(source, target) for source in event.reads if source.size == target.size]


def _run_of(event: Event, source: Access, target: Access, packet: int) -> int:
    """Bytes of a piece. A transpose moves whole rows of either side and turns them on the way."""
    if event.traits.cost is CostClass.transpose:
        columns = event.details.get("columns")
        return min(row_run(source), row_run(target if columns is None else columns_last(target, columns)))
    return common_run(source, target, packet)


def _engine_time(machine: Machine, pieces: float, nbytes: float, together: int) -> Duration:
    """One engine's part of a transfer.

    What lies together in HBM, up to a packet, is one access there: a start, and its bytes at the rate of the engine.
    Each piece that lies together on both sides needs a descriptor, and these have a rate of their own.
    """
    starts = math.ceil(nbytes / together)
    moved = duration(machine, nbytes / machine.number("dma.rate"), "dma.rate")
    total = moved.plus(fixed(machine, "dma.descriptor").times(starts))
    least = fixed(machine, "dma.least").times(pieces)
    return total if total.ns >= least.ns else least


def _share_of_rate(event: Event, source: Access, machine: Machine) -> float:
    if event.traits.cost is CostClass.transpose:
        return machine.number("dma.transpose_sbuf" if source.storage.buffer.is_on_chip else "dma.transpose_hbm")
    if event.traits.cost is CostClass.accumulating_transfer:
        return machine.number("dma.accumulate")
    if event.traits.meeting is Meeting.exchange:
        return machine.number("dma.exchange")
    return 1.0


def _spread(count: int, access: Access, machine: Machine) -> list[float]:
    """Pieces of each engine: even between HBM and HBM, for gathers, and where the engines divide the partitions.

    Any other number of partitions goes to the engines that serve them, eight partitions each.
    """
    engines = machine["dma.engines"]
    rows = access.shape[0] if access.shape else 1
    if not access.storage.buffer.is_on_chip or access.rows is not None:
        return [-(-count // engines) if e * -(-count // engines) < count else 0.0 for e in range(engines)]
    if rows % engines == 0:
        return [count / engines] * engines
    first, lanes = access.start // access.storage.pitch, machine.partitions // engines
    loads = [0.0] * engines
    for p in range(first, first + rows):
        loads[p // lanes % engines] += count / rows
    return loads
