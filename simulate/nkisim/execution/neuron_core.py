# SPDX-License-Identifier: Apache-2.0
"""One NeuronCore while a kernel runs on it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nkisim.errors import LaunchError, Location, kernel_entry, kernel_location
from nkisim.execution.call_stack import CallStack, NoLines
from nkisim.execution.late_dma import LateDma
from nkisim.execution.names import Names
from nkisim.execution.numerics import COMPUTED
from nkisim.execution.rendezvous import Rendezvous
from nkisim.execution.scopes import Scopes
from nkisim.execution.shared_memory import SharedMemory
from nkisim.execution.taps import Taps
from nkisim.execution.traced import Iteration, Traced
from nkisim.machine import Machine
from nkisim.memory import MemoryRegion
from nkisim.memory.block import MemoryBlock
from nkisim.memory.storage import Storage, next_identity
from nkisim.observe import Event, Finding, LoopMark, Observer, Policy

_active = threading.local()


@dataclass
class Watch:
    """The observers of a launch, what becomes of their findings, and what takes the values of tensors.

    Attributes:
        detects: whether any observer looks for mistakes. If not, what only detectors read is left out of events: lines,
            unwritten operands, rewrites; and guards run once for all instructions that are alike.
        repeats: where they ran, by what decides what such an instruction does.
    """

    observers: list[Observer]
    report_only: bool
    findings: list[Finding] = field(default_factory=list)
    taps: Taps | None = None
    policy: Policy = field(default_factory=Policy.from_environment)
    detects: bool = True
    repeats: dict[object, Any] = field(default_factory=dict)
    _reported: set[tuple[type, str, Location]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._readers = [
            o.on_instruction for o in self.observers if type(o).on_instruction is not Observer.on_instruction
        ]

    def instruction(self, event: Event) -> None:
        for on_instruction in self._readers:
            findings = on_instruction(event)
            if findings:
                self.add(findings)

    def loop(self, core: int, mark: LoopMark, since: int) -> None:
        for observer in self.observers:
            observer.on_loop(core, mark, since)

    def finish(self) -> None:
        for observer in self.observers:
            self.add(observer.on_finish())

    def report(self, finding: Finding) -> None:
        """Keep or raise a finding about a kernel line, once."""
        error = finding.error
        key = (type(error), error.rule, error.where)
        if key not in self._reported:
            self._reported.add(key)
            self.add([finding])

    def add(self, findings: list[Finding]) -> None:
        """Keep findings, or raise the first one that stops a run."""
        self.findings += findings
        problems = [] if self.report_only else [finding for finding in findings if self.policy.stops(finding)]
        if problems:
            raise problems[0].error


class NeuronCore:
    """Program position, memories and loop state of one core.

    Attributes:
        identity: 0 or 1.
        grid: the launch grid, () for a plain launch.
        late_dma: what holds back DMA transfers, or None if they complete at once.
        numerics: which values are computed.
        in_order: how many `no_reorder` blocks are open.
        engine_state: what its engines keep between instructions, by a name the instructions choose.
        scopes: which tensors belong to iterations of device loops that are over.
        only_traces: instructions are checked and not carried out: the body of a device loop that runs zero times.
        call_stack: the calls of the kernel that have not returned.
    """

    def __init__(
        self,
        identity: int,
        grid: tuple[int, ...],
        machine: Machine,
        watch: Watch,
        rendezvous: Rendezvous,
        shared: SharedMemory,
    ) -> None:
        self.identity, self.grid, self.machine, self.watch = identity, grid, machine, watch
        self.rendezvous, self.shared = rendezvous, shared
        self.position = 0
        self.iterations: list[Iteration] = []
        self.scopes = Scopes()
        self.late_dma: LateDma | None = None
        self.numerics = COMPUTED
        self.in_order = 0
        self.engine_state: dict[str, Any] = {}
        self.only_traces = False
        self.call_stack = CallStack() if watch.detects else NoLines()
        self._names = Names()
        self._adopted: dict[int, int] = {}
        self._arenas: dict[MemoryRegion, MemoryBlock] = {}

    @property
    def count(self) -> int:
        """Cores in the launch."""
        return self.grid[0] if self.grid else 1

    def arena(self, buffer: MemoryRegion) -> MemoryBlock:
        """The core's whole SBUF or PSUM, where tensors with explicit addresses live."""
        if buffer not in self._arenas:
            sizes = {
                MemoryRegion.sbuf: self.machine.sbuf_usable_bytes,
                MemoryRegion.psum: self.machine.psum_bank_bytes * self.machine.psum_banks,
            }
            block = MemoryBlock.fresh(self.machine.partitions, sizes[buffer])
            self._arenas[buffer] = block.keep_writers() if buffer is MemoryRegion.psum else block
        return self._arenas[buffer]

    def memory_of(self, storage: Storage) -> MemoryBlock | None:
        """The bytes behind a tensor at an address, or shared by the cores; None for all others."""
        return self.shared.memory_of(storage) if storage.address is None else self.arena(storage.buffer)

    def meet(self, key: object, where: Location, offer: Any = None) -> dict[int, Any]:
        """Wait for the other core; what each one offered."""
        if self.only_traces:
            return dict.fromkeys(range(self.count), offer)
        return self.rendezvous.meet(self.identity, key, where, offer)

    def name(self, name: str | None, kind: str) -> None:
        """Give something that the kernel makes now its name, unless it has none or a trace has seen it already."""
        if name and not any(iteration.repeats for iteration in self.iterations):
            problem = self._names.give(name, kind, kernel_location())
            if problem is not None:
                self.watch.report(Finding(problem))

    def adopt(self, storage: Storage) -> None:
        """Count a shared tensor as allocated by this core now, whichever core came first."""
        self._adopted[storage.identity] = next_identity()

    def age(self, storage: Storage) -> int:
        """When this core allocated `storage`: greater is later."""
        return self._adopted.get(storage.identity, storage.identity)

    def emit(self, event: Event, operands: tuple[object, ...]) -> None:
        """Count the event, note it in the body of the loop being run, tell the observers.

        Raises:
            CoreStopped: the other core has failed.
        """
        self.rendezvous.go_on()
        self.position += 1
        if self.iterations:
            body = self.iterations[-1]
            body.issued.append(Traced.of(event, operands, self.age, body.since))
        self.watch.instruction(event)
        if self.late_dma is not None:
            self.late_dma.after(event, self.position, self.memory_of)


@kernel_entry
def call_on(core: NeuronCore, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`function(*args, **kwargs)` with `core` the one this thread's instructions execute on."""
    try:
        _active.core = core
        core.call_stack.begin(sys._getframe())
        return function(*args, **kwargs)
    finally:
        core.call_stack.end()
        leave()


def leave() -> None:
    """This thread's instructions execute on no core. A launch says so again: an interrupt may have come before."""
    _active.core = None


def is_running() -> bool:
    """Whether this thread is inside a kernel."""
    return getattr(_active, "core", None) is not None


def current_core() -> NeuronCore:
    """The core this thread's instructions execute on.

    Raises:
        LaunchError: no kernel is running.
    """
    core: NeuronCore | None = getattr(_active, "core", None)
    if core is None:
        raise LaunchError(
            "device instructions run inside a kernel",
            "a call outside any launch",
            "Call it in an @nki.jit function.",
        )
    return core
