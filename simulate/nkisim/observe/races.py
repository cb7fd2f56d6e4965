# SPDX-License-Identifier: Apache-2.0
"""Two cores that touch the same bytes of shared HBM, at least one of them writing, without an order between them.

What orders them is a meeting: `core_barrier` for the tensor it names, because only accesses to that tensor are made to
wait for it, and `sendrecv` for everything. Both cores come to the same meetings in the same order (a launch is stopped
otherwise), so a core's vector clock is one number a tensor, the meetings passed: two accesses are ordered exactly if
their numbers differ. Cores run in turns, so one core's accesses between two meetings are known before the other's
begin; each access is compared with what the other core has done since the last meeting, and all that is forgotten at
the next one.

Two cores that write the same value to a byte are not ordered either, and nobody can tell: that is a note.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from nkisim.dtypes import Array
from nkisim.errors import Chain, DataRace, Location
from nkisim.memory import Access, Storage
from nkisim.memory.byte_map import ByteMap
from nkisim.observe.common_bytes import first_common_byte
from nkisim.observe.event import Event, Finding, Observer
from nkisim.observe.ignored import Note
from nkisim.observe.traits import Meeting

_READ, _WRITE, _VARIED = 1, 2, 4
_BITS = 3
"""What a core did to a byte: looked at what was there before, wrote it, wrote it again with another value."""


class Touch(NamedTuple):
    """One access, and the instruction that made it. `rewrites`: it wrote what was there."""

    access: Access
    kind: int
    opcode: str
    chain: Chain
    rewrites: bool = False

    @property
    def location(self) -> Location:
        return self.chain[-1]

    def __str__(self) -> str:
        return f"{'writes' if self.kind == _WRITE else 'reads'} ({self.opcode} at {self.location})"


class _Interval:
    """What both cores did to one tensor since its last meeting.

    `touched` holds the accesses of each core, `marks` three bits a core for each byte. There are no marks before the
    first write: most tensors are only read. What a core reads of its own writes is not noted: if the other core writes
    the same bytes, the two writes are compared.
    """

    def __init__(self, clock: int) -> None:
        self.clock = clock
        self.touched: tuple[dict[object, Touch], dict[object, Touch]] = ({}, {})
        self.marks: ByteMap | None = None

    def add(self, core: int, touch: Touch) -> tuple[Touch, bool] | None:
        """Note an access. Returns one of the other core to the same bytes, and whether the order of the two matters."""
        access = touch.access
        key = (touch.kind, access.start, access.shape, access.strides, None if access.rows is None else id(access))
        is_known = key in self.touched[core]
        if is_known and (touch.kind == _READ or touch.rewrites):
            return None  # its conflicts were found when it was made first, or when the other core came
        if self.marks is None:
            if touch.kind == _READ:
                self.touched[core][key] = touch
                return None
            self.marks = self._mark_all(access.storage)
        seen = self.marks.get(access)
        own, others = seen >> _BITS * core, seen >> _BITS * (1 - core)
        if touch.kind == _READ and (own & _WRITE).all():
            return None
        varies = touch.kind == _WRITE and not touch.rewrites and bool((own & _WRITE).any())
        harmful, met = self._harm(touch, others), bool((others & (_READ | _WRITE)).any())
        self.touched[core][key] = touch
        self.marks.include(access, (touch.kind | (_VARIED if varies else 0)) << _BITS * core)
        if not harmful and not (met and touch.kind == _WRITE):
            return None
        return self._other(core, touch), harmful

    @staticmethod
    def _harm(touch: Touch, others: Array) -> bool:
        """Whether another order of this access and what the other core did could give another value."""
        if touch.kind == _READ:
            return bool((others & _WRITE).any())
        return bool((others & (_READ | _VARIED if touch.rewrites else _READ | _WRITE)).any())

    def _other(self, core: int, touch: Touch) -> Touch:
        conflicts = [t for t in self.touched[1 - core].values() if _conflict(touch, t)]
        reads = [t for t in conflicts if touch.rewrites and t.kind == _READ]
        return (reads or conflicts)[0]

    def _mark_all(self, storage: Storage) -> ByteMap:
        marks = ByteMap(storage.base + storage.nbytes)
        for core, touches in enumerate(self.touched):
            for t in touches.values():
                marks.include(t.access, t.kind << _BITS * core)
        return marks


class Races(Observer):
    """Finds conflicting accesses of the two cores, once for each pair of kernel lines and tensor."""

    def __init__(self) -> None:
        self._exchanges: Counter[int] = Counter()
        self._barriers: Counter[tuple[int, int]] = Counter()
        self._intervals: dict[int, _Interval] = {}
        self._seen: set[tuple[Location, Location, Location, bool]] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        meeting = event.traits.meeting
        if meeting is Meeting.barrier:
            self._barriers[event.core, event.details["barrier"]] += 1
            return []
        if meeting is Meeting.exchange:
            self._exchanges[event.core] += 1
            return []
        found = []
        for kind, accesses in ((_READ, event.reads), (_WRITE, event.writes)):
            for access in accesses:
                if access.storage.core is None and access.size:
                    rewrites = kind == _WRITE and any(access is kept for kept in event.rewrites)
                    found += self._touch(event.core, Touch(access, kind, event.opcode, event.position.chain, rewrites))
        return found

    def _touch(self, core: int, touch: Touch) -> list[Finding]:
        storage = touch.access.storage
        clock = self._exchanges[core] + self._barriers[core, storage.identity]
        interval = self._intervals.get(storage.identity)
        if interval is None or interval.clock != clock:
            interval = self._intervals[storage.identity] = _Interval(clock)
        found = interval.add(core, touch)
        if found is None:
            return []
        other, is_harmful = found
        key = (touch.location, other.location, storage.allocated_at, is_harmful)
        if key in self._seen:
            return []
        self._seen.add(key)
        return [Finding(_error(core, touch, other)) if is_harmful else Note(_same_value(core, touch, other))]


def _conflict(a: Touch, b: Touch) -> bool:
    return _WRITE in (a.kind, b.kind) and first_common_byte(a.access, b.access) is not None


def _error(core: int, touch: Touch, other: Touch) -> DataRace:
    return DataRace(
        "a barrier stands between two accesses of different cores to the same bytes when one of them writes",
        _both(core, touch, other),
        "Put nisa.core_barrier(data=that tensor, cores=(0, 1)) between them, or touch disjoint parts.",
        touch.chain,
    )


def _same_value(core: int, touch: Touch, other: Touch) -> DataRace:
    return DataRace(
        "one core writes a byte of shared HBM, or both the same value",
        f"{_both(core, touch, other)}; what they write is the same",
        "Write it on one core, or each core its part, to save the traffic.",
        touch.chain,
    )


def _both(core: int, touch: Touch, other: Touch) -> str:
    storage = touch.access.storage
    byte = first_common_byte(touch.access, other.access)
    return (
        f"core {1 - core} {other}, core {core} {touch}, and nothing orders the two; "
        f"first at byte {(byte or 0) - storage.base} of the {storage}"
    )
