"""Device registers. Kernel code can pass them around but never see their value."""

from __future__ import annotations

from typing import NoReturn

from nkisim.errors import RegisterError
from nkisim.execution.neuron_core import current_core, is_running
from nkisim.memory import RegisterValue

_FIX = "Loop with nl.fori_loop or nl.while_loop, and address with nl.ds or scalar_offset."


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

    def __bool__(self) -> bool:
        self._refuse("bool(register), as in `if` or `while`")

    def __int__(self) -> int:
        self._refuse("int(register)")

    def __index__(self) -> int:
        self._refuse("a register as a Python index, as in range(register)")

    def __eq__(self, other: object) -> bool:
        if other is None:
            return False
        self._refuse("a comparison with a register")

    __hash__ = object.__hash__
