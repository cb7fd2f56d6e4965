"""Quantities of a timeline, as a profiler on a device defines them. All use of the inside of timelines is here.

A reading is a text, the name of the quantity and its parameters: `interval nc_matmul`. Times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from nkisim.timing import Timeline
from nkisim.timing.costs import Cost, Transfer

LATENCY = "latency"
"""Of the whole execution: body and launch."""


def read(reading: str, timeline: Timeline) -> float:
    """The quantity in `timeline`; of LATENCY the body.

    Raises:
        KeyError: no such reading. IndexError: nothing in the timeline to read it off.
    """
    name, *parameters = reading.split()
    return _READINGS[name](timeline, *parameters)


def _runs(timeline: Timeline, opcode: str) -> list[int]:
    """Numbers of the tasks of core 0 with this opcode."""
    return [task.number for task in timeline.tasks if task.opcode == opcode and task.core == 0]


def _body(timeline: Timeline) -> float:
    return timeline.latency_ns


def _share(timeline: Timeline, parts: str) -> float:
    """The body, divided."""
    return timeline.latency_ns / float(parts)


def _completion(timeline: Timeline, opcode: str, which: str = "-1") -> float:
    """Start to result."""
    number = _runs(timeline, opcode)[int(which)]
    return timeline.done[number] - timeline.begin[number]


def _interval(timeline: Timeline, opcode: str) -> float:
    """From one to the next, over the second half of equal instructions."""
    return _apart(timeline.begin, _runs(timeline, opcode))


def _step(timeline: Timeline, opcode: str) -> float:
    """As an interval, from result to result: of instructions that wait for each other."""
    return _apart(timeline.done, _runs(timeline, opcode))


def _last_steps(timeline: Timeline, opcode: str, count: str) -> float:
    """A step over the last `count` of them."""
    return _apart(timeline.done, _runs(timeline, opcode)[-int(count) :])


def _issue(timeline: Timeline, opcode: str) -> float:
    """From one trigger to the next of its queue."""
    runs = _runs(timeline, opcode)
    queue = timeline.tasks[runs[-1]].queue
    return _apart(timeline.issue, [number for number in runs if timeline.tasks[number].queue == queue])


def _queue_time(timeline: Timeline, opcode: str) -> float:
    """How long the queue is busy with the trigger of the last transfer."""
    cost = timeline.costs[timeline.tasks[_runs(timeline, opcode)[-1]].work]
    assert isinstance(cost, Transfer)
    return cost.issue.ns


def _apart(when: list[float], runs: list[int]) -> float:
    later = runs[len(runs) // 2 - 1 :]
    return (when[later[-1]] - when[later[0]]) / (len(later) - 1)


def _first_interval(timeline: Timeline, opcode: str) -> float:
    runs = _runs(timeline, opcode)
    return timeline.begin[runs[1]] - timeline.begin[runs[0]]


def _trigger(timeline: Timeline, opcode: str, which: str = "-1") -> float:
    """A transfer from its trigger to its semaphore."""
    number = _runs(timeline, opcode)[int(which)]
    return timeline.done[number] - timeline.issue[number]


def _delay(timeline: Timeline, opcode: str, which: str = "-1") -> float:
    number = _runs(timeline, opcode)[int(which)]
    return timeline.begin[number] - timeline.issue[number]


def _handoff(timeline: Timeline, producer: str, consumer: str) -> float:
    """From the result of the last task before the last `consumer` to when its queue starts that."""
    used = _runs(timeline, consumer)[-1]
    made = [number for number in _runs(timeline, producer) if number < used][-1]
    return timeline.issue[used] - timeline.done[made]


def _load(timeline: Timeline, number: int) -> float:
    """The load of weights in front of a matmul."""
    cost = timeline.costs[timeline.tasks[number].work]
    return cost.load_ns if isinstance(cost, Cost) else 0.0


def _wait(timeline: Timeline, transfer: str, consumer: str) -> float:
    """From the last byte of the transfer before the first `consumer` to its start."""
    used = _runs(timeline, consumer)[0]
    moved = [number for number in _runs(timeline, transfer) if number < used][-1]
    return timeline.issue[used] - timeline.end[moved]


def _until(timeline: Timeline, opcode: str, consumer: str) -> float:
    """From the trigger of the transfer before the first `consumer` to its start."""
    used = _runs(timeline, consumer)[0]
    begun = [number for number in _runs(timeline, opcode) if number < used][-1]
    return timeline.issue[used] - timeline.issue[begun]


def _slow(timeline: Timeline, opcode: str, first: str) -> float:
    """From instruction `first` until one comes at less than 1.5 times the least distance: none, if the first does."""
    runs = _runs(timeline, opcode)
    apart = [timeline.begin[after] - timeline.begin[before] for before, after in pairwise(runs)]
    fast = next(i for i in range(int(first), len(apart)) if apart[i] < 1.5 * min(apart))
    return timeline.begin[runs[fast]] - timeline.begin[runs[int(first)]]


def _duration(timeline: Timeline, opcode: str) -> float:
    """Of the data of the last transfer."""
    number = _runs(timeline, opcode)[-1]
    return timeline.end[number] - timeline.begin[number]


def _rate(timeline: Timeline, nbytes: str) -> float:
    """Bytes a nanosecond, over the time from the first to the last byte of all transfers."""
    moving = [task.number for task, _ in timeline.transfers()]
    return float(nbytes) / (max(timeline.end[n] for n in moving) - min(timeline.begin[n] for n in moving))


def _one_engine(timeline: Timeline, which: str) -> float:
    """The busiest DMA engine in one transfer."""
    return max([transfer for _, transfer in timeline.transfers()][int(which)].engines)


def _pe_active(timeline: Timeline) -> float:
    """Share of the latency in which the PE of core 0 loads weights, multiplies, or has a result under way."""
    spans = []
    for task in timeline.tasks:
        cost = timeline.costs[task.work]
        if task.engine == "tensor" and task.core == 0 and isinstance(cost, Cost):
            spans.append((timeline.begin[task.number] - cost.load_ns, timeline.done[task.number]))
    return 100 * covered(spans) / timeline.latency_ns


def _dma_active(timeline: Timeline) -> float:
    """Share of the latency in which at least one DMA engine of core 0 moves data."""
    moving = [task.number for task, _ in timeline.transfers() if task.core == 0]
    return 100 * covered((timeline.begin[n], timeline.end[n]) for n in moving) / timeline.latency_ns


def _dma_busy(timeline: Timeline) -> float:
    """How long all DMA engines are busy, in all."""
    return sum(sum(transfer.engines) for _, transfer in timeline.transfers())


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


_READINGS: dict[str, Callable[..., float]] = {
    LATENCY: _body,
    "body": _body,
    "share": _share,
    "completion": _completion,
    "interval": _interval,
    "step": _step,
    "last_steps": _last_steps,
    "issue": _issue,
    "queue_time": _queue_time,
    "first_interval": _first_interval,
    "trigger": _trigger,
    "delay": _delay,
    "handoff": _handoff,
    "wait": _wait,
    "until": _until,
    "slow": _slow,
    "duration": _duration,
    "rate": _rate,
    "one_engine": _one_engine,
    "pe_active": _pe_active,
    "dma_active": _dma_active,
    "dma_busy": _dma_busy,
}
