# SPDX-License-Identifier: Apache-2.0
"""The memories of a NeuronCore."""

from __future__ import annotations

from enum import Enum
from typing import NoReturn

from nkisim.errors import UnknownName


class MemoryRegion(Enum):
    """Where a tensor lives. `hbm` is AWS's alias of `private_hbm`.

    Attributes:
        is_on_chip: SBUF or PSUM; is_hbm: the rest. Plain attributes, because every access asks.
    """

    is_on_chip: bool
    is_hbm: bool

    def __init__(self, value: str) -> None:
        self.is_on_chip = value in ("sbuf", "psum")
        self.is_hbm = not self.is_on_chip

    __hash__ = object.__hash__  # each region exists once; Enum's own hash is a Python function

    sbuf = "sbuf"
    psum = "psum"
    private_hbm = "private_hbm"
    shared_hbm = "shared_hbm"
    hbm = "private_hbm"


def _no_such_name(self: MemoryRegion, name: str) -> NoReturn:
    if name.startswith("_"):
        raise AttributeError(name)
    fix = f"Allocate with nl.ndarray(shape, dtype, buffer=nl.{self.value})."
    raise UnknownName("a memory is what buffer= names", f"nl.{self.value}.{name}", fix)


setattr(MemoryRegion, "__getattr__", _no_such_name)  # noqa: B010 - type checkers need not know
