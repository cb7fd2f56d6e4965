"""Who must wait for whom because of the bytes they touch: reads after writes, writes after reads and writes."""

from __future__ import annotations

from collections.abc import Iterator

from nkisim.timing.box import Box
from nkisim.timing.task import AFTER_ISSUE, AFTER_RESULT

_SLICE = 4096


class History:
    """Last uses of one memory: a storage of its own, or all that has explicit addresses.

    Args:
        sliced: keep uses by the part of the memory they touch; for a memory that many tensors share.
    """

    def __init__(self, sliced: bool = False) -> None:
        self._sliced = sliced
        self._writes: dict[int, dict[Box, int]] = {}
        self._reads: dict[int, dict[tuple[Box, str], list[int]]] = {}
        self.claims: list[int] = []

    def read(self, box: Box, task: int, queue: str, after: set[int]) -> None:
        """`task` reads `box`: it follows the writers of its bytes."""
        for part in self._parts(box):
            for other, writer in self._writes.get(part, {}).items():
                if other is box or other.overlaps(box):
                    after.add(writer * 2 + AFTER_RESULT)
            self._reads.setdefault(part, {}).setdefault((box, queue), []).append(task)

    def write(self, box: Box, task: int, after: set[int]) -> None:
        """`task` writes `box`: it follows the readers and writers of its bytes, which are then forgotten."""
        fresh = True
        for part in self._parts(box):
            writes = self._writes.setdefault(part, {})
            for other in [w for w in writes if w.overlaps(box)]:
                fresh = False
                after.add(writes[other] * 2 + AFTER_RESULT)
                if box.covers(other):
                    del writes[other]
            reads = self._reads.get(part)
            if reads:
                for use in [use for use in reads if use[0].overlaps(box)]:
                    after.update(reader * 2 + AFTER_ISSUE for reader in reads[use])
                    if box.covers(use[0]):
                        del reads[use]
            writes[box] = task
        if fresh:
            self.claims.append(task)

    def last_uses(self) -> set[int]:
        """What somebody must follow who takes over the memory, as entries of `Task.after`."""
        uses = {writer * 2 + AFTER_RESULT for writes in self._writes.values() for writer in writes.values()}
        for reads in self._reads.values():
            uses.update(reader * 2 + AFTER_ISSUE for readers in reads.values() for reader in readers)
        return uses

    def _parts(self, box: Box) -> Iterator[int]:
        return iter(range(box.b0 // _SLICE, -(-box.b1 // _SLICE)) if self._sliced else (0,))
