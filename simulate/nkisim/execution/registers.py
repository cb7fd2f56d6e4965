# SPDX-License-Identifier: Apache-2.0
"""Device registers. Kernel code can pass them around but never see their value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from nkisim.errors import RegisterError
from nkisim.execution.neuron_core import current_core, is_running
from nkisim.memory import RegisterValue

_FIX = "Loop with nl.fori_loop or nl.while_loop, and address with nl.ds or scalar_offset."


def _refused(what: str) -> Callable[..., Any]:
    """An operator that registers do not have."""

    def refuse(self: VirtualRegister, *others: Any) -> NoReturn:
        self._refuse(what)

    return refuse


def _only_traces() -> bool:
    return is_running() and current_core().only_traces


class VirtualRegister(RegisterValue):
    """A scalar in an engine's register file. Made by `nisa.register_alloc`."""

    def __init__(self, value: int | None = None) -> None:
        self._value = value

    def read(self) -> int:
        """The value, for the simulator only.

        Raises:
            RegisterError: the register was never loaded.
        """
        if self._value is None and _only_traces():
            return 0
        if self._value is None:
            raise RegisterError("a register is loaded before it is used", "an empty register", "Load or move into it.")
        return self._value

    def load(self, value: int) -> None:
        """Replace the value, as a signed 32-bit number."""
        if not _only_traces():
            self._value = (int(value) + 2**31) % 2**32 - 2**31

    def __repr__(self) -> str:
        return "VirtualRegister(empty)" if self._value is None else f"VirtualRegister({self._value})"

    def _refuse(self, what: str) -> NoReturn:
        raise RegisterError("a register's value is not known while the kernel is traced", what, _FIX)

    __bool__ = _refused("bool(register), as in `if` or `while`")
    __int__ = _refused("int(register)")
    __index__ = _refused("a register as a Python index, as in range(register)")
    __lt__ = __le__ = __gt__ = __ge__ = _refused("a comparison with a register")
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refused("arithmetic with a register")
    __floordiv__ = __rfloordiv__ = __truediv__ = __rtruediv__ = __mod__ = __rmod__ = __neg__ = __add__

    def __eq__(self, other: object) -> bool:
        if other is None:
            return False
        self._refuse("a comparison with a register")

    __hash__ = object.__hash__
