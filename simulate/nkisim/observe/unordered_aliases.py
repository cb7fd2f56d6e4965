# SPDX-License-Identifier: Apache-2.0
"""Two compute engines at the same bytes through two tensors whose addresses overlap, and only the addresses order them.

What certainly makes an engine wait is its own program order, an earlier instruction on the same bytes of the same
tensor, and `depends_on`. So each instruction knows, by engine, up to which of its instructions all are complete, from
those it waits for. Transfers hand on what they know, and are no engine here: that they may be late is tried out.
"""

from __future__ import annotations

from typing import NamedTuple

from nkisim.errors import DeviceRisk, Location
from nkisim.memory import Access
from nkisim.observe.common_bytes import first_common_byte
from nkisim.observe.event import Event, Finding, Observer
from nkisim.observe.ignored import Note

Clock = dict[str, int]
"""By engine the index of its latest instruction that is known to be complete."""


class Use(NamedTuple):
    """One access, the instruction that made it, and what is complete when that is."""

    access: Access
    writes: bool
    event: Event
    clock: Clock

    @property
    def key(self) -> object:
        """Equal for uses of which the latest stands for all: in the order of one engine, at the same place."""
        return self.access.extent, self.access.dtype.itemsize, self.writes, self.event.engine

    def conflicts_with(self, other: Use) -> bool:
        """Whether the order of two uses of one memory matters."""
        return (self.writes or other.writes) and first_common_byte(self.access, other.access) is not None


class UnorderedAliases(Observer):
    """Notes them, once for two kernel lines, when every dependency has been said. Costs nothing without addresses."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._clocks: dict[tuple[int, int], Clock] = {}
        self._latest: dict[tuple[int, str], Clock] = {}
        self._of_tensor: dict[object, dict[object, Use]] = {}
        self._at_addresses: dict[object, dict[object, Use]] = {}
        self._seen: set[tuple[Location, Location]] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        if self._events or any(access.storage.address is not None for access in (*event.reads, *event.writes)):
            self._events.append(event)
        return []

    def on_finish(self) -> list[Finding]:
        return [finding for event in self._events for finding in self._next(event)]

    def _next(self, event: Event) -> list[Finding]:
        accesses = [(access, writes) for writes in (False, True) for access in (event.reads, event.writes)[writes]]
        uses = [Use(access, writes, event, {}) for access, writes in accesses if access.size]
        clock = self._what_is_complete(event, uses)
        found = self._unordered(uses, clock)
        if event.engine != "dma":
            clock[event.engine] = event.index
            self._latest[event.core, event.engine] = clock
        self._clocks[event.core, event.index] = clock
        for use in uses:
            self._keep(use._replace(clock=clock))
        return found

    def _what_is_complete(self, event: Event, uses: list[Use]) -> Clock:
        """What the event waits for, and what those instructions waited for."""
        clock: Clock = {}
        _learn(clock, self._latest.get((event.core, event.engine), {}))
        for index in event.after:
            _learn(clock, self._clocks.get((event.core, index), {}))
        for use in uses:
            for earlier in self._of_tensor.get(_tensor(use), {}).values():
                if use.conflicts_with(earlier):
                    _learn(clock, earlier.clock)
        return clock

    def _unordered(self, uses: list[Use], clock: Clock) -> list[Finding]:
        """The latest use by another engine that one of these, of one instruction, does not wait for."""
        pairs = [(use, earlier) for use in uses for earlier in self._at_addresses.get(_place(use), {}).values()]
        found = [(earlier, use) for use, earlier in pairs if _may_overtake(use, earlier, clock)]
        if not found:
            return []
        earlier, use = max(found, key=lambda pair: pair[0].event.index)
        lines = earlier.event.location, use.event.location
        if lines in self._seen:
            return []
        self._seen.add(lines)
        return [Note(_risk(earlier, use))]

    def _keep(self, use: Use) -> None:
        of_tensor = self._of_tensor.setdefault(_tensor(use), {})
        if use.event.engine == "dma" and use.key in of_tensor:  # who waits for both, though they overtake each other
            use = use._replace(clock=dict(use.clock))
            _learn(use.clock, of_tensor[use.key].clock)
        of_tensor[use.key] = use
        place = _place(use)
        if place is not None:
            self._at_addresses.setdefault(place, {})[use.key] = use


def _tensor(use: Use) -> object:
    """Whose accesses wait for each other: a core sees its own only."""
    return use.event.core, use.access.storage.identity


def _place(use: Use) -> object:
    """The memory in which an engine uses an address; None otherwise."""
    storage = use.access.storage
    return None if storage.address is None or use.event.engine == "dma" else (storage.core, storage.buffer)


def _may_overtake(use: Use, earlier: Use, clock: Clock) -> bool:
    """Whether nothing of what is complete before `use` tells that `earlier` is, through another tensor."""
    is_complete = earlier.event.index <= clock.get(earlier.event.engine, -1)
    return not is_complete and earlier.access.storage is not use.access.storage and use.conflicts_with(earlier)


def _learn(clock: Clock, other: Clock) -> None:
    for engine, index in other.items():
        clock[engine] = max(index, clock.get(engine, -1))


def _risk(earlier: Use, later: Use) -> DeviceRisk:
    did = "wrote" if earlier.writes else "read"
    return DeviceRisk(
        "engines that use the same bytes are ordered by more than an address",
        f"{later.event.opcode} of the {later.event.engine} engine {'writes' if later.writes else 'reads'} the "
        f"{later.access.storage} {later.access.storage.address}, where {earlier.event.opcode} of the "
        f"{earlier.event.engine} engine at {earlier.event.location} {did} the {earlier.access.storage}",
        "Use one tensor, or say depends_on.",
        later.event.position.chain,
    )
