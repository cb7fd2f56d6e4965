"""A case: one kernel with inputs, which goes through the five steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class KernelCall:
    """A kernel and what it is called with.

    Attributes:
        kernel: jitted.
        positional, named: its arguments, arrays and others.
    """

    kernel: Any
    positional: Sequence[Any]
    named: Mapping[str, Any]

    def launched_on(self, cores: int) -> Any:
        """What the toolchain that is bound makes of it."""
        launched = self.kernel[cores] if cores > 1 else self.kernel
        return launched(*self.positional, **self.named)

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """All tensors in order, those inside options included."""
        for n, value in enumerate(self.positional):
            yield from _arrays(f"argument_{n}", value)
        for name, value in self.named.items():
            yield from _arrays(name, value)


def _arrays(name: str, value: Any) -> Iterator[tuple[str, Array]]:
    if isinstance(value, np.ndarray):
        yield name, value
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _arrays(f"{name}_{each.name}", getattr(value, each.name))


@dataclass(frozen=True)
class Judgement:
    """An output against what it should be.

    Attributes:
        rel_l2, allowed: relative distance, and how large it may be.
    """

    rel_l2: float
    allowed: float
    passed: bool


@dataclass(frozen=True)
class Case:
    """One kernel.

    Attributes:
        name: unique, and fit for a folder.
        cores: of the launch.
        call: makes the arguments, which may take memory and time.
        shapes: likewise, but for integers only shapes count: for predictions.
        judge: says how far an output is from what it should be; None where only that it runs is checked.
    """

    name: str
    cores: int
    call: Callable[[], KernelCall]
    shapes: Callable[[], KernelCall]
    judge: Callable[[Array], Judgement] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What compiler and runtime must be told of it."""
        return {"NEURON_LOGICAL_NC_CONFIG": str(self.cores)}
