# SPDX-License-Identifier: Apache-2.0
"""Device loops as NKI 0.7 has them: the body gets an NkiScalar, unless a bound is a register."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nkisim.errors import DtypeError, LoopError
from nkisim.execution import loops
from nkisim.execution.registers import VirtualRegister
from nkisim.execution.scalars import LoopValue, NkiScalar
from nkisim.language.program import is_in_order
from nkisim.operations.operation import NkiInstruction


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any], None], step: int = 1) -> None:
    """Run `body_fun(i)` for i = lower, lower + step, ... below upper; bounds are ints, scalars or registers.

    Raises:
        LoopError: two iterations issue different instructions, the body returns something, or the loop stands
            in an `nl.no_reorder` block.
        DtypeError: a bound has 64 bits.
    """
    _check_place()
    bounds = (lower, upper)
    for bound in bounds:
        if isinstance(bound, NkiScalar) and bound.dtype != "int32":
            raise DtypeError("a loop bound is an int32 scalar", f"{bound.dtype}", "Load the bound from an int32 tile.")
    call: Callable[[Any], Any] = body_fun
    old = any(isinstance(b, VirtualRegister) and not isinstance(b, NkiScalar) for b in bounds)

    def body(register: VirtualRegister) -> None:
        returned: Any = call(register if old else LoopValue(register.read()))
        if returned is not None and not isinstance(returned, NkiInstruction):  # a lambda returns its last handle
            raise LoopError("the body of fori_loop returns nothing", f"{returned!r}", "Keep state in SBUF or HBM.")

    loops.fori_loop(lower, upper, body, step)


def while_loop(init: Any, body_fun: Callable[[Any], Any]) -> None:
    """Run `r = body_fun(r)` while the register r, at first `init`, is not zero.

    Raises:
        LoopError: two iterations issue different instructions, or the loop stands in an `nl.no_reorder` block.
    """
    _check_place()
    loops.while_loop(init, body_fun)


def _check_place() -> None:
    if is_in_order():
        raise LoopError(
            "a device loop is not inside nl.no_reorder", "a loop in the block", "Put the block in the body."
        )
