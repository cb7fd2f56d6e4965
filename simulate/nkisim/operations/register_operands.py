# SPDX-License-Identifier: Apache-2.0
"""Operands of the instructions that move registers."""

from __future__ import annotations

from typing import Any

from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, ShapeError
from nkisim.execution.registers import VirtualRegister
from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.operations import checks


def register(value: Any, operand: str) -> VirtualRegister:
    """`value`, which must be a register."""
    if not isinstance(value, VirtualRegister):
        raise ArgumentError(f"{operand} is a register", f"{type(value).__name__}", "Make it with register_alloc.")
    return value


def one_integer(operand: str, t: NkiTensor) -> None:
    """A tensor that a register is loaded from or stored to."""
    if checks.tensor(t, operand).size != 1:
        raise ShapeError(f"{operand} has one element", f"shape {t.shape}", "Slice out one element.")
    if t.buffer is MemoryRegion.psum:
        raise BufferRuleError(f"{operand} is in HBM or SBUF", "psum", "Copy it to SBUF.")
    if not t.dtype.is_integer:
        raise DtypeError(f"{operand} is an integer of at most 32 bits", f"{t.dtype}", "Cast it with tensor_copy.")
