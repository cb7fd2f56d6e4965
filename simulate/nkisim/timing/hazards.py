# SPDX-License-Identifier: Apache-2.0
"""Who must wait for whom because of the bytes they touch: reads after writes, writes after reads and writes."""

from __future__ import annotations

from dataclasses import dataclass, field

from nkisim.timing.box import Box
from nkisim.timing.task import AFTER_ISSUE, AFTER_RESULT

_SLICE = 4096


@dataclass(slots=True, eq=False)
class UsedPart:
    """Last uses of a part of a memory: who wrote and who read which bytes."""

    writes: dict[Box, int] = field(default_factory=dict)
    reads: dict[Box, list[int]] = field(default_factory=dict)

    def read(self, box: Box, task: int, after: set[int]) -> None:
        """`task` reads `box`: it follows the writers of its bytes."""
        writes = self.writes
        same = writes.get(box)
        if same is not None and len(writes) == 1:
            after.add(same * 2 + AFTER_RESULT)
        else:
            for other, writer in writes.items():
                if other.overlaps(box):
                    after.add(writer * 2 + AFTER_RESULT)
        readers = self.reads.get(box)
        if readers is None:
            self.reads[box] = [task]
        else:
            readers.append(task)

    def write(self, box: Box, task: int, after: set[int]) -> bool:
        """`task` writes `box`: it follows the readers and writers of its bytes, which are then forgotten.

        Returns whether nobody had written one of them.
        """
        writes, reads, fresh = self.writes, self.reads, True
        if writes:
            for other in [box] if box in writes and len(writes) == 1 else [w for w in writes if w.overlaps(box)]:
                fresh = False
                after.add(writes[other] * 2 + AFTER_RESULT)
                if other is box or box.covers(other):
                    del writes[other]
        if reads:
            for other in [box] if box in reads and len(reads) == 1 else [r for r in reads if r.overlaps(box)]:
                after.update([reader * 2 + AFTER_ISSUE for reader in reads[other]])
                if other is box or box.covers(other):
                    del reads[other]
        writes[box] = task
        return fresh


class History:
    """Last uses of one memory: a storage of its own, or all that has explicit addresses.

    Args:
        sliced: keep uses by the part of the memory they touch; for a memory that many tensors share.
    """

    def __init__(self, sliced: bool = False) -> None:
        self._slices: dict[int, UsedPart] = {}
        self._whole = None if sliced else (UsedPart(),)
        self.claims: list[int] = []

    def read(self, box: Box, task: int, after: set[int]) -> None:
        """`task` reads `box`: it follows the writers of its bytes."""
        for part in self.parts(box):
            part.read(box, task, after)

    def write(self, box: Box, task: int, after: set[int]) -> None:
        """`task` writes `box`: it follows the readers and writers of its bytes, which are then forgotten."""
        if all([part.write(box, task, after) for part in self.parts(box)]):
            self.claims.append(task)

    def last_uses(self) -> set[int]:
        """What somebody must follow who takes over the memory, as entries of `Task.after`."""
        parts = self._whole or self._slices.values()
        uses = {writer * 2 + AFTER_RESULT for part in parts for writer in part.writes.values()}
        for part in parts:
            uses.update(reader * 2 + AFTER_ISSUE for readers in part.reads.values() for reader in readers)
        return uses

    def parts(self, box: Box) -> tuple[UsedPart, ...]:
        """Where the uses of `box` are kept: the same as long as the history is."""
        if self._whole is not None:
            return self._whole
        numbers = range(box.b0 // _SLICE, -(-box.b1 // _SLICE))
        return tuple([self._slices.setdefault(number, UsedPart()) for number in numbers])
