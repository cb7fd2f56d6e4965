# SPDX-License-Identifier: Apache-2.0
"""scalar_load and scalar_store: an integer between memory and an NkiScalar. (nki.isa exports them, from NKI 0.7.)"""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, ShapeError
from nkisim.execution.neuron_core import current_core
from nkisim.execution.scalars import WIDTHS, NkiScalar
from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.observe import CostClass, Traits
from nkisim.operations import checks
from nkisim.operations.enums import engine
from nkisim.operations.operation import Operation, execute

_TRAITS = Traits(CostClass.register_memory)


def scalar_load(src: NkiTensor) -> NkiScalar:
    """The single element of `src`, an int32 or int64 tensor in SBUF or HBM.

    Raises:
        ShapeError, BufferRuleError, DtypeError: src is not such a tensor.
    """
    _one_integer("src", src)
    if current_core().only_traces:
        return NkiScalar(0, src.dtype)
    loaded: list[int] = []

    def load(values: Any) -> tuple[()]:
        loaded.append(int(values.reshape(-1)[0]))
        return ()

    event = execute(current_core(), "scalar_load", _TRAITS, Operation(engine.sync, (src,), (), load))
    scalar = NkiScalar(loaded[0], src.dtype)
    scalar.loaded_by = event.index
    return scalar


def scalar_store(dst: NkiTensor, value: NkiScalar) -> None:
    """The single element of `dst`, an int32 or int64 tensor in SBUF or HBM of shape [1] or [1, 1], = value of the same
    width.

    Raises:
        ArgumentError: value is no NkiScalar.
        ShapeError, BufferRuleError, DtypeError: dst is not such a tensor.
    """
    _one_integer("dst", dst)
    if not isinstance(value, NkiScalar):
        raise ArgumentError("scalar_store stores an NkiScalar", f"{value!r}", "Use nisa.memset for a constant.")
    if value.dtype != dst.dtype:
        raise DtypeError("dst has the width of the scalar", f"{value.dtype} into {dst.dtype}", "Store, then convert.")
    if current_core().only_traces:
        return
    number = value.read()
    write = Operation(engine.sync, (), (dst,), lambda: np.full(dst.shape, number, np.int64))
    execute(current_core(), "scalar_store", _TRAITS, write)


def _one_integer(operand: str, t: NkiTensor) -> None:
    if checks.tensor(t, operand).size != 1:
        raise ShapeError(f"{operand} has one element", f"shape {t.shape}", "Slice out one element.")
    if t.buffer is MemoryRegion.psum:
        raise BufferRuleError(f"{operand} is in HBM or SBUF", "psum", "Copy it to SBUF.")
    if t.dtype not in WIDTHS:
        raise DtypeError(f"{operand} is int32 or int64", f"{t.dtype}", "Use the signed type of the same width.")
