# SPDX-License-Identifier: Apache-2.0
"""What an instruction asks for, and how that is carried out.

An instruction's function checks its arguments and returns an `Operation`: operands, a pure function from what is
read to what is written, and the work. Everything else (memory, bounds, shadow state, events) happens here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import LoopError, ShapeError
from nkisim.execution.neuron_core import NeuronCore
from nkisim.memory import (
    WRITTEN,
    Access,
    NkiTensor,
    Region,
    RegisterValue,
    first_unwritten,
    held,
    resolve,
)
from nkisim.memory.indirection import Indirection
from nkisim.observe import Event, Traits, Work
from nkisim.operations.enums import engine as Engine


@dataclass(slots=True)
class Operation:
    """A checked instruction, ready to run.

    Attributes:
        engine: who executes it.
        reads, writes: operands.
        compute: the values of `writes` from the values of `reads`: an array, or a tuple of arrays.
        work: how much it does.
        details: parameters that matter to time.
        skip_out_of_bounds: drop rows whose runtime index is out of bounds.
        rows_last: the rows that are dropped are the last dimension of `writes`; `compute` gives them first.
        leaves: the state of what it writes, which tells a later matmul whether it may accumulate onto it.
        accumulates: the values are added, in fp32, to the only operand written, which is also the last of `reads`;
            `compute` is not given it. An array says to which of its elements; the others are overwritten, and it is
            not in `reads`.
        hidden_input: the values written depend on more than `reads`: registers of an engine, or what the
            other core sends and does not know.
        state_decides: not only forms of operands and other arguments decided what it does, also what memory holds.
        constants: the numbers among the arguments, which a trace fixes; filled in by `instruction`, in loops.
    """

    engine: Engine
    reads: tuple[NkiTensor, ...]
    writes: tuple[NkiTensor, ...]
    compute: Callable[..., Any]
    work: Work = field(default_factory=Work)
    details: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    skip_out_of_bounds: bool = False
    rows_last: bool = False
    leaves: int = WRITTEN
    accumulates: bool | Array = False
    hidden_input: bool = False
    state_decides: bool = False
    constants: tuple[str, ...] = ()

    def indirections(self) -> list[Indirection]:
        """The runtime indices in the addresses of its operands."""
        found = [t.indirection for t in self.reads if t.indirection is not None]
        return found + [t.indirection for t in self.writes if t.indirection is not None]


class NkiInstruction:
    """Handle of an issued instruction. `event` is None where it was traced only."""

    def __init__(self, core: NeuronCore, event: Event | None) -> None:
        self.event = event
        self._core, self._loops = core.identity, tuple(core.iterations)

    def depends_on(self, *producers: NkiInstruction) -> NkiInstruction:
        """This instruction starts after every producer has completed. Matters to time, not to results.

        Raises:
            LoopError: a producer is in a device loop, or an iteration, that this instruction is not in.
        """
        for producer in producers:
            around = producer._loops
            if len(around) > len(self._loops) or any(a is not b for a, b in zip(around, self._loops, strict=False)):
                raise LoopError(
                    "a dependency does not leave a device loop: it is fixed when the body is traced",
                    f"a producer inside {len(around)} loops, or in another iteration, of one inside {len(self._loops)}",
                    "Order them inside one iteration, or depend on something after the loop.",
                )
            if self.event is not None and producer.event is not None and producer._core == self._core:
                self.event.after.append(producer.event.index)
        return self


def execute(core: NeuronCore, opcode: str, traits: Traits, operation: Operation) -> Event:
    """Carry out `operation` on `core` and emit its event."""
    skip = operation.skip_out_of_bounds
    reads = [t.region or resolve(t, skip) for t in operation.reads]
    writes = [t.region or resolve(t, skip) for t in operation.writes]
    indices, loads, dropped, indexed_rows = [], [], False, None
    skipped_reads: tuple[Access, ...] = ()
    skipped_writes: tuple[Access, ...] = ()
    hows = operation.indirections()
    if hows:
        indices = [resolve(how.index) for how in hows if not isinstance(how.index, RegisterValue)]
        loads = [how.index.loaded_by for how in hows if isinstance(how.index, RegisterValue)]
        dropped = any(region.skipped for region in (*reads, *writes))
        indexed_rows = max((how.index.size for how in hows if how.per_partition), default=0)
        writes = [w.last_first() for w in writes] if operation.rows_last else writes
        kept = ([], []) if dropped else _drop_rows(reads, writes)
        if kept[0] is not reads:
            skipped_reads, skipped_writes = _on_chip(reads), _on_chip(writes)
            reads, writes = kept
    sources = [*reads, *indices] if indices else reads
    event = Event(
        core.position,
        core.identity,
        opcode,
        traits,
        operation.engine._name_,  # what `.name` looks up
        tuple([r.access for r in sources]),
        tuple([r.access for r in writes]),
        operation.work,
        operation.details,
        core.call_stack.position(),
        operation.name,
        _unwritten(sources) if core.watch.detects else (),
        [load for load in loads if load is not None],
        core.in_order > 0,
        indexed_rows,
        skipped_reads=skipped_reads,
        skipped_writes=skipped_writes,
    )
    if core.watch.taps is not None:
        core.watch.taps.before(core.identity, operation.reads, operation.writes, event.position)
    if not dropped:
        looks = core.watch.detects and core.count > 1
        before = [(w, held(w)) for w in writes if w.access.storage.core is None] if looks else []
        core.numerics.carry_out(operation, reads, writes)
        if before:
            event.rewrites = tuple([w.access for w, content in before if content is not None and content == held(w)])
    emit(core, event, (*operation.reads, *operation.writes), operation.constants)
    return event


def emit(core: NeuronCore, event: Event, operands: Iterable[NkiTensor], constants: tuple[str, ...]) -> None:
    """Emit the event, in loops with what a trace fixes of it."""
    traced: tuple[object, ...] = ()
    if core.iterations:
        since = core.iterations[-1].since
        traced = (*[_traced(t, core.age(t.storage), since) for t in operands], *constants)
    core.emit(event, traced)


def _on_chip(regions: list[Region]) -> tuple[Access, ...]:
    return tuple([r.access for r in regions if r.access.storage.buffer.is_on_chip])


def constants_of(arguments: Iterable[Any]) -> tuple[str, ...]:
    """The numbers among the arguments of an instruction."""
    return tuple([repr(a) for a in arguments if _is_constant(a)])


def _is_constant(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_constant(v) for v in value)
    return isinstance(value, (bool, int, float, np.generic))


def _unwritten(sources: list[Region]) -> tuple[tuple[Access, tuple[int, ...]], ...]:
    """The sources that nobody has written wholly, with the first element that was not."""
    incomplete = [r for r in sources if not r.block.shadow.is_complete]
    if not incomplete:
        return ()
    found = [(r.access, first_unwritten(r)) for r in incomplete]
    return tuple([(access, at) for access, at in found if at is not None])


def _traced(t: NkiTensor, age: int, since: int) -> tuple[object, ...]:
    """What a trace fixes of an operand: all but the value of a runtime index, and the name of a fresh allocation."""
    older = age if age < since else None
    return older, t.storage.allocated_at, t.dtype, t.layout, t.is_indirect()


def _drop_rows(reads: list[Region], writes: list[Region]) -> tuple[list[Region], list[Region]]:
    """All operands without the rows that some runtime index put out of bounds."""
    masks = [r.in_bounds for r in (*reads, *writes) if r.in_bounds is not None]
    if not masks:
        return reads, writes
    lengths = {r.access.shape[0] for r in (*reads, *writes)}
    if len(lengths) != 1:
        raise ShapeError(
            "oob_mode.skip drops rows, so all operands have the same first dimension",
            f"first dimensions {sorted(lengths)}",
            "Give every pattern one row for each index.",
        )
    mask = np.logical_and.reduce(masks)
    return [r.keep(mask) for r in reads], [r.keep(mask) for r in writes]
