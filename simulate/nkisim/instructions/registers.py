"""register_alloc, register_move, register_load, register_store: scalars that drive loops and addresses."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, ShapeError
from nkisim.execution.neuron_core import current_core
from nkisim.execution.registers import VirtualRegister
from nkisim.instructions import checks
from nkisim.instructions.enums import engine as Engine
from nkisim.instructions.operation import INSTRUCTIONS, Operation, instruction
from nkisim.memory import MemoryRegion, NkiTensor, RegisterValue


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


INSTRUCTIONS["register_alloc"] = register_alloc


@instruction
def register_move(dst: VirtualRegister, src: Any) -> Operation:
    """dst = src, a constant or another register."""
    value = src.read() if isinstance(src, RegisterValue) else src
    if not isinstance(value, int):
        raise ArgumentError("register_move takes an int or a register", f"{type(src).__name__}", "Use register_load.")
    _register(dst, "dst").load(value)
    dst.loaded_by = current_core().position
    return Operation(Engine.sync, (), (), lambda: ())


@instruction
def register_load(dst: VirtualRegister, src: NkiTensor) -> Operation:
    """dst = the single element of src, an HBM or SBUF tensor of at most 32 bits."""
    register = _register(dst, "dst")
    _one_integer("src", src)

    def load(values: Any) -> tuple[()]:
        register.load(int(values.reshape(-1)[0]))
        register.loaded_by = current_core().position
        return ()

    return Operation(Engine.sync, (src,), (), load)


@instruction
def register_store(dst: NkiTensor, src: VirtualRegister) -> Operation:
    """The single element of dst = src."""
    value = _register(src, "src").read()
    _one_integer("dst", dst)
    return Operation(Engine.sync, (), (dst,), lambda: np.full(dst.shape, value, np.int64))


def _register(value: Any, operand: str) -> VirtualRegister:
    if not isinstance(value, VirtualRegister):
        raise ArgumentError(f"{operand} is a register", f"{type(value).__name__}", "Make it with register_alloc.")
    return value


def _one_integer(operand: str, t: NkiTensor) -> None:
    if checks.tensor(t, operand).size != 1:
        raise ShapeError(f"{operand} has one element", f"shape {t.shape}", "Slice out one element.")
    if t.buffer is MemoryRegion.psum:
        raise BufferRuleError(f"{operand} is in HBM or SBUF", "psum", "Copy it to SBUF.")
    if not t.dtype.is_integer:
        raise DtypeError(f"{operand} is an integer of at most 32 bits", f"{t.dtype}", "Cast it with tensor_copy.")
