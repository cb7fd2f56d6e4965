# SPDX-License-Identifier: Apache-2.0
"""Who must wait for whom because of the bytes they touch: reads after writes, writes after reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nkisim.timing.box import Box
from nkisim.timing.task import AFTER_ISSUE, AFTER_RESULT

_SLICE = 4096


@dataclass(slots=True, eq=False)
class _Part:
    """Last uses of a part of a memory: who wrote and who read which bytes."""

    writes: dict[Box, int] = field(default_factory=dict)
    reads: dict[Box, list[int]] = field(default_factory=dict)


class History:
    """Last uses of one memory: a storage of its own, or all that has explicit addresses.

    Args:
        sliced: keep uses by the part of the memory they touch; for a memory that many tensors share.
    """

    def __init__(self, sliced: bool = False) -> None:
        self._slices: dict[int, _Part] = {}
        self._whole = None if sliced else [_Part()]
        self.claims: list[int] = []

    def read(self, box: Box, task: int, after: set[int]) -> None:
        """`task` reads `box`: it follows the writers of its bytes."""
        for part in self._whole or self._parts(box):
            same = part.writes.get(box)
            if same is not None and len(part.writes) == 1:
                after.add(same * 2 + AFTER_RESULT)
            else:
                for other, writer in part.writes.items():
                    if other.overlaps(box):
                        after.add(writer * 2 + AFTER_RESULT)
            readers = part.reads.get(box)
            if readers is None:
                part.reads[box] = [task]
            else:
                readers.append(task)

    def write(self, box: Box, task: int, after: set[int]) -> None:
        """`task` writes `box`: it follows the readers and writers of its bytes, which are then forgotten."""
        fresh = True
        for part in self._whole or self._parts(box):
            writes, reads = part.writes, part.reads
            for other in [w for w in writes if w.overlaps(box)]:
                fresh = False
                after.add(writes[other] * 2 + AFTER_RESULT)
                if box.covers(other):
                    del writes[other]
            for other in [r for r in reads if r.overlaps(box)]:
                after.update([reader * 2 + AFTER_ISSUE for reader in reads[other]])
                if box.covers(other):
                    del reads[other]
            writes[box] = task
        if fresh:
            self.claims.append(task)

    def last_uses(self) -> set[int]:
        """What somebody must follow who takes over the memory, as entries of `Task.after`."""
        parts = self._whole or self._slices.values()
        uses = {writer * 2 + AFTER_RESULT for part in parts for writer in part.writes.values()}
        for part in parts:
            uses.update(reader * 2 + AFTER_ISSUE for readers in part.reads.values() for reader in readers)
        return uses

    def _parts(self, box: Box) -> Sequence[_Part]:
        numbers = range(box.b0 // _SLICE, -(-box.b1 // _SLICE))
        return [self._slices.setdefault(number, _Part()) for number in numbers]
