"""Two cores that touch the same bytes of shared HBM, at least one of them writing, without an order between them.

What orders them is a meeting: `core_barrier` for the tensor it names, because only accesses to that tensor are made to
wait for it, and `sendrecv` for everything. Both cores come to the same meetings in the same order (a launch is stopped
otherwise), so a core's vector clock is one number a tensor, the meetings passed: two accesses are ordered exactly if
their numbers differ. Cores run in turns, so one core's accesses between two meetings are known before the other's
begin; each access is compared with what the other core has done since the last meeting, and all that is forgotten at
the next one.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from nkisim.errors import DataRace, Location
from nkisim.memory import Access, Storage
from nkisim.memory.byte_map import ByteMap
from nkisim.observe.common_bytes import first_common_byte
from nkisim.observe.event import Event, Finding, Observer
from nkisim.observe.traits import Meeting

_READ, _WRITE = 1, 2
_BOTH = _READ | _WRITE


class Touch(NamedTuple):
    """One access, and the instruction that made it."""

    access: Access
    kind: int
    opcode: str
    location: Location

    def __str__(self) -> str:
        return f"{'writes' if self.kind == _WRITE else 'reads'} ({self.opcode} at {self.location})"


class _Interval:
    """What both cores did to one tensor since its last meeting.

    `touched` holds the accesses of each core, `marks` two bits a core for each byte. There are no marks before the
    first write: most tensors are only read.
    """

    def __init__(self, clock: int) -> None:
        self.clock = clock
        self.touched: tuple[dict[object, Touch], dict[object, Touch]] = ({}, {})
        self.marks: ByteMap | None = None

    def add(self, core: int, touch: Touch) -> Touch | None:
        """Note an access. Returns one of the other core that conflicts with it, if there is one."""
        access = touch.access
        key = (touch.kind, access.start, access.shape, access.strides, None if access.rows is None else id(access))
        if key in self.touched[core]:
            return None  # its conflicts were found when it was made first, or when the other core came
        self.touched[core][key] = touch
        if self.marks is None:
            if touch.kind == _READ:
                return None
            self.marks = self._mark_all(access.storage)
        else:
            self.marks.include(access, touch.kind << 2 * core)
        harmful = (_WRITE if touch.kind == _READ else _BOTH) << 2 * (1 - core)
        if not (self.marks.get(access) & harmful).any():
            return None
        return next(t for t in self.touched[1 - core].values() if _conflict(touch, t))

    def _mark_all(self, storage: Storage) -> ByteMap:
        marks = ByteMap(storage.base + storage.nbytes)
        for core, touches in enumerate(self.touched):
            for t in touches.values():
                marks.include(t.access, t.kind << 2 * core)
        return marks


class Races(Observer):
    """Finds conflicting accesses of the two cores, once for each pair of kernel lines and tensor."""

    def __init__(self) -> None:
        self._exchanges: Counter[int] = Counter()
        self._barriers: Counter[tuple[int, int]] = Counter()
        self._intervals: dict[int, _Interval] = {}
        self._seen: set[tuple[Location, Location, Location]] = set()

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
                    found += self._touch(event.core, Touch(access, kind, event.opcode, event.location))
        return found

    def _touch(self, core: int, touch: Touch) -> list[Finding]:
        storage = touch.access.storage
        clock = self._exchanges[core] + self._barriers[core, storage.identity]
        interval = self._intervals.get(storage.identity)
        if interval is None or interval.clock != clock:
            interval = self._intervals[storage.identity] = _Interval(clock)
        other = interval.add(core, touch)
        if other is None:
            return []
        key = (touch.location, other.location, storage.allocated_at)
        if key in self._seen:
            return []
        self._seen.add(key)
        return [Finding(_error(core, touch, other))]


def _conflict(a: Touch, b: Touch) -> bool:
    return _WRITE in (a.kind, b.kind) and first_common_byte(a.access, b.access) is not None


def _error(core: int, touch: Touch, other: Touch) -> DataRace:
    storage = touch.access.storage
    byte = first_common_byte(touch.access, other.access)
    return DataRace(
        "a barrier stands between two accesses of different cores to the same bytes when one of them writes",
        f"core {1 - core} {other}, core {core} {touch}, and nothing orders the two; "
        f"first at byte {(byte or 0) - storage.base} of the {storage}",
        "Put nisa.core_barrier(data=that tensor, cores=(0, 1)) between them, or touch disjoint parts.",
        touch.location,
    )
