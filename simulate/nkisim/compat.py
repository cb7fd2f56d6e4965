"""Older spellings of the NKI API, accepted with one deprecation warning each. The only place that knows them."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from nkisim.errors import ArgumentError
from nkisim.execution import kernel
from nkisim.execution.registers import VirtualRegister
from nkisim.memory import RegisterValue

_warned: set[str] = set()


def deprecated(old: str, new: str) -> None:
    """Warn once a process that `old` is an older spelling of `new`."""
    if old not in _warned:
        _warned.add(old)
        warnings.warn(f"{old} is deprecated NKI; use {new}", DeprecationWarning, stacklevel=3)


def jit(fn: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorator that makes a function a kernel; off device every call is simulated.

    `mode=` and `platform_target=`, without effect since NKI 0.3, are accepted.

    Raises:
        ArgumentError: an option nkisim would have to ignore.
    """
    for name in options:
        if name not in ("mode", "platform_target"):
            raise ArgumentError(
                "nki.jit takes a function and no option that nkisim models", f"{name}=", "Remove the option."
            )
        deprecated(f"nki.jit({name}=...)", "nki.jit and NEURON_PLATFORM_TARGET_OVERRIDE")
    return kernel.jit if fn is None else kernel.jit(fn)


def affine_range(start: int, stop: int | None = None, step: int = 1) -> range:
    """`range`, which NKI 0.7 says to use."""
    deprecated("nl.affine_range", "range")
    return range(0, start, step) if stop is None else range(start, stop, step)


def sequential_range(start: int, stop: int | None = None, step: int = 1) -> range:
    """`range`, which NKI 0.7 says to use."""
    deprecated("nl.sequential_range", "range")
    return range(0, start, step) if stop is None else range(start, stop, step)


def static_range(start: int, stop: int | None = None, step: int = 1) -> range:
    """`range`, which NKI 0.7 says to use."""
    deprecated("nl.static_range", "range")
    return range(0, start, step) if stop is None else range(start, stop, step)


def dynamic_range(start: Any, stop: Any = None, step: int = 1) -> Iterator[VirtualRegister]:
    """A device loop of NKI 0.6 and older; yields the iteration register. Removed in NKI 0.7."""
    deprecated("nl.dynamic_range", "nl.fori_loop")
    lower, upper = (0, start) if stop is None else (start, stop)
    first, end = (b.read() if isinstance(b, RegisterValue) else int(b) for b in (lower, upper))
    for value in range(first, end, step):
        yield VirtualRegister(value)


def isa_constants() -> types.ModuleType:
    """`nki.isa.constants`, where NKI 0.3 kept the enumerations."""
    from nkisim.instructions import enums

    deprecated("nki.isa.constants", "nki.isa")
    return enums
