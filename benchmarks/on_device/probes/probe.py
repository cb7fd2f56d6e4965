"""A probe: a small kernel whose latency says what a constant of the time model is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkisim.fitting import Term
from nkisim.machine import Machine
from on_device.instruction_table import ProfiledInstruction

Array = np.ndarray[Any, np.dtype[Any]]
Sizes = Mapping[str, int | str]


@dataclass(frozen=True)
class Point:
    """One kernel of a probe.

    Attributes:
        sizes: arguments of the kernel beside its tensors.
        terms: what of its latency the points of the probe do not share.
    """

    sizes: Sizes
    terms: tuple[Term, ...]

    @property
    def name(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.sizes.items())


@dataclass(frozen=True)
class Probe:
    """Some kernels that differ in what a constant is multiplied with.

    Attributes:
        name: unique.
        kernel: takes the inputs by position, sizes by name.
        inputs: makes them of the sizes.
        settles: constants, as the machine files name them.
        how: how they follow from the latencies, in a sentence.
        points: the kernels.
        cores: of each.
        targets: whose instructions have it.
    """

    name: str
    kernel: Any
    inputs: Callable[[Sizes], tuple[Array, ...]]
    settles: tuple[str, ...]
    how: str
    points: tuple[Point, ...]
    cores: int = 1
    targets: tuple[str, ...] = ("trn2", "trn3")

    def settled_on(self, machine: Machine) -> list[str]:
        """Constants that documents leave open on this machine: the others are taken from there."""
        quantities = {key: machine.quantities[key] for key in self.settles}
        return [key for key, q in quantities.items() if q.is_open or q.confidence != "documented"]


@dataclass(frozen=True)
class ProfileProbe:
    """A kernel whose profile, not its latency, says what constants are.

    Attributes:
        name, kernel, inputs, settles, how: as of a Probe.
        sizes: arguments of the kernel.
        read: values of the constants, several of each if they leave it open; from the instructions of a profile.
    """

    name: str
    kernel: Any
    inputs: Callable[[Sizes], tuple[Array, ...]]
    sizes: Sizes
    settles: tuple[str, ...]
    how: str
    read: Callable[[Sequence[ProfiledInstruction]], Mapping[str, tuple[float, ...]]]


@dataclass(frozen=True)
class ChoiceProbe:
    """Two kernels that do the same, one of them in a given way: what the compiler made of the other.

    Attributes:
        kernel, inputs: as of a Probe.
        free, held: sizes of the one that may take less, and of the one beside it.
        says: what it means if the first takes less, in a sentence.
        beside: how the other one does it.
    """

    name: str
    kernel: Any
    inputs: Callable[[Sizes], tuple[Array, ...]]
    free: Sizes
    held: Sizes
    says: str
    beside: str = "in the order of the source"


def ns(count: float, constant: str) -> Term:
    """`count` times a constant in nanoseconds."""
    return Term(count, {constant: 1})


def cycles(count: float, constant: str, engine: str) -> Term:
    """`count` times a constant in cycles of an engine."""
    return Term(count, {constant: 1, f"clock.{engine}": -1})


def stream(elements: float, rate: str, engine: str) -> Term:
    """Elements a lane at a rate a cycle."""
    return Term(elements, {rate: -1, f"clock.{engine}": -1})


def clocked(count: float, engine: str) -> Term:
    """So many cycles."""
    return Term(count, {f"clock.{engine}": -1})
