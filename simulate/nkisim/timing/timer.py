# SPDX-License-Identifier: Apache-2.0
"""Watches a launch and keeps what its timeline depends on: one small record an instruction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from nkisim.machine import Machine
from nkisim.memory import Access, MemoryRegion, Storage
from nkisim.observe import Event, Finding, LoopMark, Meeting, Observer
from nkisim.observe.placement import Lifetime
from nkisim.timing.box import Box, box
from nkisim.timing.drains import Epochs
from nkisim.timing.hazards import History, UsedPart
from nkisim.timing.loops import LoopNames
from nkisim.timing.program import Program
from nkisim.timing.reuse import successions
from nkisim.timing.task import Task


class _Use(NamedTuple):
    """What is known of an access: the uses of the memory that it touches and their history, where in it, the number of
    its form, the name of its tensor, and the lifetime of one that has no address on chip.
    """

    parts: tuple[UsedPart, ...]
    history: History
    place: Box
    form: int
    name: str
    lifetime: Lifetime | None = None


class Timer(Observer):
    """Builds the program of a launch.

    Args:
        machine: the NeuronCore whose memories limit what can overlap, and whose durations are the default.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._histories: dict[object, History] = {}
        self._lifetimes: dict[tuple[int, MemoryRegion], dict[object, Lifetime]] = {}
        self._instances: dict[tuple[int, object], list[object]] = {}
        self._own: dict[tuple[int, int], tuple[History, Lifetime]] = {}
        self._places: dict[tuple[object, ...], tuple[Box, int]] = {}
        self._by_index: tuple[list[int], list[int]] = ([], [])
        self._loops, self._epochs = (LoopNames(), LoopNames()), (Epochs(), Epochs())
        self._program = Program(drains=(self._epochs[0].drains, self._epochs[1].drains))
        self._met: Counter[tuple[int, str]] = Counter()
        self._uses: tuple[dict[Access, _Use], dict[Access, _Use]] = ({}, {})
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._finished = False

    def on_loop(self, core: int, mark: LoopMark, since: int) -> None:
        self._loops[core].mark(mark, since)
        self._epochs[core].mark(mark)

    def on_instruction(self, event: Event) -> list[Finding]:
        tasks, core, index = self._program.tasks, event.core, event.index
        number = len(tasks)
        after: set[int] = set()
        read: list[int] = []
        written: list[int] = []
        names: list[str] = []
        for access in event.reads:
            use = self._read(event, access, number, after)
            read.append(use.form)
            names.append(use.name)
        for access in event.writes:
            use = self._write(event, access, number, after)
            written.append(use.form)
            names.append(use.name)
        for access in event.skipped_reads:  # whoever laid instructions out did not know: all wait as if nothing were
            self._read(event, access, number, after)
        for access in event.skipped_writes:
            self._write(event, access, number, after)
        task = Task(
            number, core, index, event.opcode, event.engine, event.position, event.name,
            event.engine if event.engine != "dma" else _queue(event),
            self._program.works.number(event, (tuple(read), tuple(written))), event.after, (),
            self._epochs[core].current(), -1, event.ordered,
        )  # fmt: skip
        if event.traits.meeting is not None:
            self._meet(task, event, after)
        after.discard(number * 2)
        after.discard(number * 2 + 1)
        task.after = tuple(after)
        if any(names):
            task.tensors = self._names.setdefault(tuple(names), tuple(names))
        self._by_index[core].append(number)
        tasks.append(task)
        return []

    def _read(self, event: Event, access: Access, number: int, after: set[int]) -> _Use:
        """The task reads it: `after` receives what it must follow."""
        use = self._uses[event.core].get(access) or self._use(event, access)
        for part in use.parts:
            part.read(use.place, number, after)
        if use.lifetime is not None:
            use.lifetime.last = event.index
        return use

    def _write(self, event: Event, access: Access, number: int, after: set[int]) -> _Use:
        """Likewise, it writes it."""
        use = self._uses[event.core].get(access) or self._use(event, access)
        if all([part.write(use.place, number, after) for part in use.parts]):
            use.history.claims.append(number)
        if use.lifetime is not None:
            use.lifetime.last = event.index
        return use

    def _meet(self, task: Task, event: Event, after: set[int]) -> None:
        """Count the meeting; a barrier orders all accesses to its tensor."""
        task.meeting = self._met[task.core, "meeting"]
        self._met[task.core, "meeting"] += 1
        barrier = event.details.get("barrier")
        if barrier is not None:
            whole = Box(0, 1 << 20, 0, 1 << 60)
            self._history((task.core, self._loops[task.core].name(barrier))).write(whole, task.number, after)

    @property
    def program(self) -> Program:
        """What the launch did; complete when the launch has ended."""
        if not self._finished:
            self._finished = True
            self._add_successions()
            self._add_named()
            self._forget_other_epochs()
        return self._program

    def _use(self, event: Event, access: Access) -> _Use:
        """What is known of an access that is used first.

        Kernels use the same views again and again, whose accesses are the same objects; those of gathers never are.
        """
        use = self._new_use(event, access)
        if access.rows is None:
            self._uses[event.core][access] = use
        return use

    def _new_use(self, event: Event, access: Access) -> _Use:
        storage = access.storage
        place, form = self._place_and_form(access)
        if storage.address is not None:
            history, lifetime = self._history((event.core, storage.buffer), sliced=True), None
        else:
            history, lifetime = self._own.get((event.core, storage.identity)) or self._own_history(event, storage)
        return _Use(history.parts(place), history, place, form, storage.name, lifetime)

    def _place_and_form(self, access: Access) -> tuple[Box, int]:
        """Where it is in its memory, and the number of its form: of tiles without an address many are alike."""
        storage = access.storage
        if storage.address is not None or access.rows is not None or not storage.buffer.is_on_chip:
            return box(access, access.rows is not None), self._program.works.form(access)
        key = (access.start, access.shape, access.strides, access.dtype, storage.buffer, storage.pitch)
        known = self._places.get(key)
        if known is None:
            known = self._places[key] = box(access, False), self._program.works.form(access)
        return known

    def _own_history(self, event: Event, storage: Storage) -> tuple[History, Lifetime | None]:
        """Of a memory without an address, and its lifetime, if it is on chip."""
        core, buffer = event.core, storage.buffer
        name = self._loops[core].name(storage.identity)
        if not buffer.is_on_chip:
            return self._history((core, name)), None
        key = (core, storage.identity)
        if key not in self._histories:
            self._instances.setdefault((core, name), []).append(key)
        lifetime = self._lifetimes.setdefault((core, buffer), {})[key] = Lifetime(storage, event.index, event.index)
        own = self._own[key] = self._history(key), lifetime
        return own

    def _history(self, key: object, sliced: bool = False) -> History:
        history = self._histories.get(key)
        if history is None:
            history = self._histories[key] = History(sliced)
        return history

    def _add_successions(self) -> None:
        """A tensor that takes over another's bytes waits for its last uses."""
        tasks = self._program.tasks
        loops = {keys[0]: name[0] for (_, name), keys in self._instances.items() if isinstance(name, tuple)}
        instances = {keys[0]: keys for keys in self._instances.values()}
        for (_, buffer), tenants in self._lifetimes.items():
            once = {key: tenant for key, tenant in tenants.items() if key in instances}
            for earlier, later in successions(once, buffer, self.machine):
                together = earlier in loops and loops[earlier] == loops.get(later)
                for before, after in _pairs(instances[earlier], instances[later], together):
                    uses = self._histories[before].last_uses()
                    for claim in self._histories[after].claims:
                        tasks[claim].after = tuple({*tasks[claim].after, *(u for u in uses if u >> 1 < claim)})

    def _add_named(self) -> None:
        for task in self._program.tasks:
            if task.named:
                numbers = (self._by_index[task.core][index] * 2 for index in task.named)
                task.after = tuple({*task.after, *numbers})

    def _forget_other_epochs(self) -> None:
        """What a core did in an earlier epoch is done."""
        tasks = self._program.tasks
        for task in tasks:
            if task.epoch:
                task.after = tuple([waited for waited in task.after if tasks[waited >> 1].epoch == task.epoch])


def _pairs(earlier: list[object], later: list[object], together: bool) -> Iterable[tuple[object, object]]:
    """Which instance of a tensor follows which of another: one an iteration, if one loop allocates both."""
    return zip(earlier, later, strict=False) if together else [(earlier[-1], later[0])]


def _queue(event: Event) -> str:
    """The stream that starts an instruction.

    A DMA whose descriptors software generates starts on the GpSimd Engine, one that hardware generates on the sequencer
    asked for. All others share a queue: the documentation ties queues to the trigger and to how descriptors are made.
    """
    if event.engine != "dma" or event.traits.meeting is Meeting.barrier:
        return event.engine
    mode = event.details.get("dge", "none")
    if mode == "swdge":
        return "gpsimd"
    if mode == "hwdge":
        asked = event.details.get("queue")
        return f"dge {asked}" if asked in ("sync", "scalar") else "dge sync"
    return "dma"
