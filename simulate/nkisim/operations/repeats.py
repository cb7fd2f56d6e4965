# SPDX-License-Identifier: Apache-2.0
"""Instructions issued again with operands of the same forms, in a launch for its time alone.

A kernel issues a few hundred instructions tens of thousands of times. Where guards and the operation follow from the
forms of the operands and from the other arguments, they are found once: what is left is which bytes it touches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nkisim.execution.neuron_core import NeuronCore
from nkisim.memory import MATMUL, NOT_COMPUTED, WRITTEN, NkiTensor, Region, is_computed, lowest_state, mark, resolve
from nkisim.observe import Event, Traits, Work
from nkisim.operations.operation import NkiInstruction, Operation, constants_of, emit
from nkisim.operations.remembered import form_of


@dataclass(frozen=True, eq=False, slots=True)
class Repeat:
    """An instruction as it was issued first. It keeps none of the tensors.

    Attributes:
        opcode, traits, engine, work, details: as in its event.
        leaves: as in `Operation`.
        adds: to what a matmul has left in all that it writes.
        operands: places of what it reads and writes among the arguments; count: how many of them it reads.
        constants: as in `Operation`.
    """

    opcode: str
    traits: Traits
    engine: str
    work: Work
    details: Mapping[str, Any]
    leaves: int
    adds: bool
    operands: tuple[int, ...]
    count: int
    constants: tuple[str, ...]


def question(opcode: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[object, ...]:
    """What decides, beside what memory holds, what an instruction with these arguments does."""
    values = (*args, *kwargs.values()) if args else kwargs.values()
    asked = [(v.form or form_of(v)) if type(v) is NkiTensor else (v.__class__, v) for v in values]
    return (opcode, len(args), *kwargs, *asked)


def known(core: NeuronCore, asked: tuple[object, ...]) -> Repeat | None:
    """How such an instruction was issued before."""
    try:
        found: Repeat | None = core.watch.repeats.get(asked)
    except TypeError:  # some argument has no hash
        return None
    return found


def remember(core: NeuronCore, asked: tuple[object, ...], values: list[Any], traits: Traits, done: Operation) -> None:
    """Keep how it was issued, unless more than forms and arguments decided what it did.

    Args:
        asked: the `question`, whose first entry is the opcode.
        values: the arguments in order.
    """
    if done.state_decides or done.hidden_input or done.name or done.indirections():
        return
    tensors = [v for v in values if type(v) is NkiTensor]
    places = {id(v): place for place, v in enumerate(values) if type(v) is NkiTensor}
    operands = (*done.reads, *done.writes)
    if len(places) < len(tensors) or not {*map(id, operands)} <= places.keys():
        return  # which argument an operand is, is not known
    repeat = Repeat(
        str(asked[0]), traits, done.engine._name_, done.work, done.details, done.leaves, done.accumulates is True,
        tuple([places[id(t)] for t in operands]), len(done.reads), constants_of(values),
    )  # fmt: skip
    with suppress(TypeError):  # some argument has no hash
        core.watch.repeats[asked] = repeat


def again(core: NeuronCore, repeat: Repeat, values: Sequence[Any]) -> NkiInstruction | None:
    """Issue it once more; None where values follow from integers, or a guard has to look at what memory holds."""
    operands = [values[i] for i in repeat.operands]
    regions = [t.region or resolve(t) for t in operands]
    reads, writes = regions[: repeat.count], regions[repeat.count :]
    state = _state_left(repeat, reads, writes)
    if state is None or (core.scopes.any_over and _is_over(core, regions)):
        return None
    for region in writes:
        if region.block.shadow.uniform != state or region.block.writers is not None:
            mark(region, state)
    event = Event(
        core.position, core.identity, repeat.opcode, repeat.traits, repeat.engine, tuple([r.access for r in reads]),
        tuple([w.access for w in writes]), repeat.work, repeat.details, core.call_stack.position(),
        ordered=core.in_order > 0, alike=repeat,
    )  # fmt: skip
    if core.iterations:
        emit(core, event, operands, repeat.constants)
    else:
        core.emit(event, ())
    return NkiInstruction(core, event)


def _state_left(repeat: Repeat, reads: list[Region], writes: list[Region]) -> int | None:
    """The state of what it writes; None where that takes another look."""
    if repeat.leaves == WRITTEN:
        for region in reads:
            if region.block.shadow.uniform == NOT_COMPUTED or not is_computed(region):
                return NOT_COMPUTED
        return None
    return None if repeat.adds and lowest_state(writes[0]) < MATMUL else repeat.leaves


def _is_over(core: NeuronCore, regions: list[Region]) -> bool:
    """Whether an operand was made in an iteration of a device loop that has ended."""
    return any([core.scopes.is_over(core.age(region.access.storage)) for region in regions])
