"""What is tried: one kind a row. A case is a function of a generator of random numbers and a folder of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fuzz import damages, interrupts, requests
from fuzz.kernels import program


@dataclass(frozen=True)
class Kind:
    """One kind of case.

    Attributes:
        run: does one case; what it raises is a failure, what it leaves in the folder is kept then. Gives the outcome.
        seconds: how long a case may take.
        share: of the time, beside the others' shares.
    """

    name: str
    run: Callable[[np.random.Generator, Path], str]
    seconds: float = 60
    share: int = 1


KINDS = (
    Kind("kernels", program.run_case, share=6),
    *(
        Kind(of.__name__, functools.partial(requests.refusable, of), seconds=120, share=share)
        for of, share in requests.REQUESTS.items()
    ),
    Kind("arguments", damages.odd_arguments),
    Kind("packed_files", damages.packed_file),
    Kind("checkpoints", damages.checkpoint),
    Kind("interrupts", interrupts.interrupted, share=2),
)


def kind_named(name: str) -> Kind:
    """The kind of that name."""
    return next(kind for kind in KINDS if kind.name == name)


def generator(seed: int, kind: str, number: int) -> np.random.Generator:
    """The random numbers of a case."""
    return np.random.default_rng([seed, number, *kind.encode()])
