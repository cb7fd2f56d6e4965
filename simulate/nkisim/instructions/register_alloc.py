# SPDX-License-Identifier: Apache-2.0
"""register_alloc: a scalar that drives loops and addresses. It issues nothing, so it is no registered instruction."""

from __future__ import annotations

from nkisim.errors import ArgumentError
from nkisim.execution.registers import VirtualRegister


def register_alloc(x: int | None = None) -> VirtualRegister:
    """A register, empty or holding the constant `x`."""
    if x is not None and not isinstance(x, int):
        raise ArgumentError(
            "register_alloc takes a constant int or nothing",
            f"{type(x).__name__}",
            "Use register_load for tensors.",
        )
    register = VirtualRegister()
    if x is not None:
        register.load(x)
    return register
