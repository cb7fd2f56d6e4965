# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom, and what of it the order of a queue does not say already.

A stream that starts in order has waited already for what one of its earlier tasks waits for. Matmuls prepare for their
start, as long as their work takes: there, if the last that waited for it had the same work. And they follow each other
on the PE, which adds to a bank in order. Triggers of transfers whose descriptors hardware makes may overtake.
"""

from __future__ import annotations

from nkisim.timing.flat.records import Instruction, Line

BY_ISSUE, ON_PE = 1, 2
SHIFT, KIND = 2, 3
"""Of what `follow` gives: a number of a task, shifted, and what is waited for, 0 for the result."""


def follow(tasks: list[Instruction], after: list[int], behind: list[Instruction], followers: list[int]) -> None:
    """Fill in who waits for each task: `first` and `stop` of `behind`, and `followers`.

    Matmuls that follow a matmul of their core are apart: the PE adds to a bank in order, and loads weights meanwhile.

    Args:
        tasks: with their places in `after`, which has what they wait for as in `Task.after`.
    """
    for waited in after:
        behind[waited >> 1].stop += 1
    place = 0
    for each in behind:
        count = each.stop
        each.first = each.stop = place
        place += count
    for number in range(len(tasks)):
        task = tasks[number]
        for waited in after[task.first : task.stop]:
            other, kind = behind[waited >> 1], waited & 1
            if task.on_pe and other.on_pe and task.core == other.core:
                kind = ON_PE
            followers[other.stop] = (number << SHIFT) + kind
            other.stop += 1


def find_waits(
    tasks: list[Instruction], after: list[int], lines: list[Line], numbers: list[int], found: list[Instruction],
    waits: list[int], before: list[int], works: int,
) -> None:  # fmt: skip
    """Fill in what each task waits for, as in `Task.after`: `queue`, `first` and `stop` of `found`, and `waits`.

    Args:
        tasks, after: as in `follow`.
        lines, numbers: the order.
        before: by entry of `after`, who waited for it last; -1 at first.
        works: how many there are.
    """
    place = 0
    for own in found:
        own.queue = -1
    for queue in range(len(lines)):
        line = lines[queue]
        for number in numbers[line.first : line.stop]:
            task, own = tasks[number], found[number]
            key = queue * works + (task.work if line.is_pe else 0)
            own.first = place
            for waited in after[task.first : task.stop]:
                if line.is_pe and found[waited >> 1].queue == queue:
                    continue
                if before[waited] != key or line.overtakes:
                    before[waited] = key
                    waits[place] = waited
                    place += 1
            own.queue, own.stop = queue, place
