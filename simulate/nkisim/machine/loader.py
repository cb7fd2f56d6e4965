# SPDX-License-Identifier: Apache-2.0
"""Typed access to the machine files. Every number there has a value, a unit, a source and a confidence."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from nkisim.machine.quantity import CONFIDENCES, Quantity
from nkisim.machine.scaling import scaled

TARGETS = {"trn2": "gen3", "trn3": "gen4"}
"""Every machine file by its name, with the name of its generation, under which it can be asked for, too."""
TARGET_VARIABLE = "NEURON_PLATFORM_TARGET_OVERRIDE"
"""The variable of the environment that names the machine where nobody asks for one."""
DEFAULT_TARGET = "trn3"
"""The machine where the environment names none either: what AWS documents where there is no device."""


@dataclass(frozen=True)
class Machine:
    """One NeuronCore generation. Sizes are in bytes unless the name says otherwise.

    Attributes:
        name: "trn2" or "trn3".
        generation: 3 or 4, as in `nki.isa.nc_version`.
        quantities: every number of the file, by "section.name".
    """

    name: str
    generation: int
    quantities: dict[str, Quantity]

    def __getitem__(self, key: str) -> int:
        return int(self.quantities[key].value)

    @functools.cached_property
    def digest(self) -> str:
        """The same of machines whose numbers are the same."""
        numbers = sorted((key, q.unit, float(q.value), *map(float, q.ends)) for key, q in self.quantities.items())
        return hashlib.sha256(repr(numbers).encode()).hexdigest()[:16]

    def number(self, key: str) -> float:
        """The value of a quantity that need not be whole."""
        return self.quantities[key].value

    def scaled(self, factors: Mapping[str, float]) -> Machine:
        """This machine with constants of its time model multiplied, by name: see `machine.scaling`."""
        return dataclasses.replace(self, quantities=scaled(self.quantities, factors))

    def fastest(self, sections: Collection[str]) -> Machine:
        """This machine with the constants of these sections at the end of their ranges at which kernels take least."""
        return self._at_ends(sections, lambda quantity: quantity.fast)

    def slowest(self, sections: Collection[str]) -> Machine:
        """Likewise, at which they take most."""
        return self._at_ends(sections, lambda quantity: quantity.slow)

    def _at_ends(self, sections: Collection[str], end: Callable[[Quantity], Quantity]) -> Machine:
        moved = {key: end(q) if key.partition(".")[0] in sections else q for key, q in self.quantities.items()}
        return dataclasses.replace(self, quantities=moved)

    def with_value(self, key: str, value: float) -> Machine:
        """This machine with another value of one constant."""
        return dataclasses.replace(self, quantities={**self.quantities, key: self.quantities[key].at(value)})

    @property
    def partitions(self) -> int:
        return self["sbuf.partitions"]

    @property
    def sbuf_usable_bytes(self) -> int:
        """SBUF bytes a partition that a kernel may use."""
        return self["sbuf.partition_bytes"] - self["sbuf.reserved_bytes"]

    @property
    def psum_bank_bytes(self) -> int:
        return self["psum.bank_bytes"]

    @property
    def psum_banks(self) -> int:
        return self["psum.banks"]


_IN_USE: list[Machine] = []


@contextmanager
def machine_in_use(machine: Machine) -> Iterator[None]:
    """In the block, `load_machine` gives this machine for its name, and there is no other one."""
    _IN_USE.append(machine)
    try:
        yield
    finally:
        _IN_USE.pop()


def load_machine(target: str) -> Machine:
    """The machine called `target`: trn2 (gen3) or trn3 (gen4).

    Raises:
        ValueError: there is no such machine file, or the machine in use is another one.
    """
    name = next((name for name, alias in TARGETS.items() if target in (name, alias)), None)
    if name is None:
        known = " and ".join(f"{name} ({alias})" for name, alias in TARGETS.items())
        raise ValueError(f"unknown target {target!r}: nkisim models {known}; NKI 0.3 dropped trn1, inf2 and gen2")
    if not _IN_USE:
        return _shipped(name)
    if _IN_USE[-1].name != name:
        raise ValueError(f"target {target!r}: the machine file in use describes {_IN_USE[-1].name}")
    return _IN_USE[-1]


def read_machine(path: Path) -> Machine:
    """The machine of a file with all constants of the one that ships under its name.

    Raises:
        ValueError: the file is none of a machine, or lacks constants.
        OSError: it cannot be read.
    """
    try:
        machine = _machine(path.read_text(encoding="utf-8"), path.name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no machine file: {error}") from None
    if machine.name not in TARGETS:
        raise ValueError(f"{path}: describes {machine.name!r}; there are {', '.join(TARGETS)}")
    missing = sorted(_shipped(machine.name).quantities.keys() - machine.quantities.keys())
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}")
    return machine


@functools.cache
def _shipped(name: str) -> Machine:
    text = resources.files("nkisim.machine").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return _machine(text, f"{name}.toml")


def _machine(text: str, place: str) -> Machine:
    data = tomllib.loads(text)
    quantities = {
        f"{section}.{key}": _quantity(f"{place} {section}.{key}", entry)
        for section, entries in data.items()
        if isinstance(entries, dict)
        for key, entry in entries.items()
    }
    return Machine(name=data["name"], generation=data["generation"], quantities=quantities)


def _quantity(place: str, entry: dict[str, object]) -> Quantity:
    quantity = Quantity(**entry)  # type: ignore[arg-type]
    if quantity.confidence not in CONFIDENCES or not quantity.source:
        raise ValueError(f"{place}: needs a source and one of the confidences {CONFIDENCES}, got {quantity}")
    low, high = quantity.low, quantity.high
    if (low is None) != (high is None) or (low is not None and not low <= quantity.value <= (high or low)):
        raise ValueError(f"{place}: low and high go together, with the value between them, got {quantity}")
    return quantity


def target_from_environment() -> str:
    """The machine in use, that of the environment, or the default."""
    if _IN_USE:
        return _IN_USE[-1].name
    return os.environ.get(TARGET_VARIABLE, DEFAULT_TARGET)
