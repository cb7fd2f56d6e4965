# SPDX-License-Identifier: Apache-2.0
"""How an instruction is declared: its function, and what outsiders ask of it, in one place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nkisim.execution.neuron_core import current_core
from nkisim.memory import Columns
from nkisim.observe import CostClass, Meeting, Traits
from nkisim.operations import device_rules
from nkisim.operations.enums import engine as Engine
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction_help import help_text
from nkisim.operations.operation import NkiInstruction, Operation, constants_of, execute
from nkisim.operations.repeats import again, known, question, remember


@dataclass(frozen=True)
class Declaration:
    """A registered instruction.

    Attributes:
        issue: the function of `nki.isa`.
        traits: what its events say of it.
        engines: those that can run it.
        indirect: which of its operands may be indirect views.
        refused: why it is not simulated at all; empty for all others.
        limit: which of its cases are refused, and why.
    """

    issue: Callable[..., NkiInstruction]
    traits: Traits
    engines: tuple[Engine, ...]
    indirect: IndirectOperands
    refused: str
    limit: str


INSTRUCTIONS: dict[str, Declaration] = {}
"""Every instruction by its name, once the module of that name is imported."""


def instruction(
    *,
    cost: CostClass,
    on: Engine | tuple[Engine, ...],
    meeting: Meeting | None = None,
    indirect: IndirectOperands = IndirectOperands(),  # noqa: B008 - frozen
    refused: str = "",
    limit: str = "",
    by_forms: bool = False,
) -> Callable[[Callable[..., Operation]], Callable[..., NkiInstruction]]:
    """Register the decorated function as the instruction of its name; calling it issues the operation it returns.

    Arguments are as in `Declaration` and `Traits`.

    Args:
        by_forms: guards and the operation follow from the forms of the operands and from the other arguments; where
            what memory holds takes part, the operation says so. Then a launch that looks for no mistakes runs them
            once for all calls that are alike.

    Raises:
        TypeError: `cost` is no CostClass, or there is no engine.
    """
    engines = on if isinstance(on, tuple) else (on,)
    if not isinstance(cost, CostClass) or not engines:
        raise TypeError(f"an instruction has a CostClass and an engine, not {cost!r} and {on!r}")
    traits = Traits(cost, meeting)

    def register(body: Callable[..., Operation]) -> Callable[..., NkiInstruction]:
        issue = _issued(body, traits, engines, indirect, by_forms)
        issue.__doc__ = help_text(body, traits, engines, indirect, limit)
        INSTRUCTIONS[body.__name__] = Declaration(issue, traits, engines, indirect, refused, limit)
        return issue

    return register


def _issued(
    body: Callable[..., Operation],
    traits: Traits,
    engines: tuple[Engine, ...],
    indirect: IndirectOperands,
    by_forms: bool,
) -> Callable[..., NkiInstruction]:
    opcode = body.__name__

    @functools.wraps(body)
    def issue(*args: Any, **kwargs: Any) -> NkiInstruction:
        core, asked = current_core(), None
        if by_forms and not core.watch.detects and not core.only_traces:
            asked = question(opcode, args, kwargs)
            repeat = known(core, asked)
            issued = None if repeat is None else again(core, repeat, [*args, *kwargs.values()])
            if issued is not None:
                return issued
        operation = body(*args, **kwargs)
        if operation.engine not in engines:
            raise TypeError(f"{opcode} is not declared for the {operation.engine.name} engine")
        if operation.name:
            core.name(operation.name, opcode)
        if core.scopes.any_over:
            device_rules.in_scope(core, opcode, operation)
        hows = operation.indirections()
        if hows:
            for t in (*operation.reads, *operation.writes):
                device_rules.runtime_index(t)
            if any(isinstance(how, Columns) for how in hows):
                operation = indirect.admit(opcode, inspect.signature(body).bind(*args, **kwargs).arguments, operation)
        if core.only_traces:
            return NkiInstruction(core, None)
        if core.iterations:
            operation.constants = constants_of((*args, *kwargs.values()))
        if asked is not None and repeat is None:
            remember(core, asked, [*args, *kwargs.values()], traits, operation)
        return NkiInstruction(core, execute(core, opcode, traits, operation))

    return issue
