"""Kernels of public repositories, run on arguments of ours beside formulas of ours.

Nothing of them is stored here but names and numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = Any
RIGHT, REFUSED, WRONG, FAILED, MISSING = "matches", "refused", "wrong", "fails", "not there"


@dataclass(frozen=True)
class Call:
    """One call of a kernel and what it gives.

    Attributes:
        expected: of the first results; of a kernel that returns nothing, the last arguments as they are afterwards.
        tolerance: largest relative L2 distance.
    """

    arguments: tuple[Any, ...]
    expected: tuple[Array, ...]
    options: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-5


@dataclass(frozen=True)
class PublicKernel:
    """A kernel in a file.

    Attributes:
        call: makes arguments and results from random numbers.
        cores: it is launched on.
        given: what stands for names that its file imports from elsewhere.
        illegal: the rule of AWS's documents that it breaks, if it does.
    """

    repository: str
    file: str
    name: str
    call: Callable[[np.random.Generator], Call]
    cores: int = 1
    target: str = "trn2"
    given: dict[str, Any] = field(default_factory=dict)
    illegal: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a kernel.

    Attributes:
        status: matches, refused, wrong, fails or not there.
        why: the rule, the distance or the error.
    """

    repository: str
    kernel: str
    status: str
    why: str = ""
    illegal: str = ""


def bad(verdict: Verdict) -> bool:
    """Whether something is to be mended: a legal kernel that does not match, for any reason."""
    return verdict.status not in (RIGHT, MISSING) and not verdict.illegal
