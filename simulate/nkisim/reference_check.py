# SPDX-License-Identifier: Apache-2.0
"""A kernel's outputs beside those of a function of the same inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import retold

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments."""


@dataclass(frozen=True)
class OutputCheck:
    """One output beside what is expected of it.

    Attributes:
        name: "output", or "output[1]" of several.
        relative_l2: norm of the difference over that of what is expected; infinite where one is NaN or infinite alone.
        worst_row: index of the row of dimension 0 with the largest `worst_l2`, its difference over its own norm or the
            mean norm of a row, whichever is larger.
        first: index of the first element of a row outside the tolerance that is off by more than that of the row's root
            mean square; None if all rows are within it.
        told: what is wrong with number or shape, if anything is.
    """

    name: str
    relative_l2: float
    worst_row: int = 0
    worst_l2: float = 0.0
    first: tuple[int, ...] | None = None
    told: str = ""

    @property
    def agrees(self) -> bool:
        """Whether every row is within the tolerance."""
        return not self.told and self.first is None

    def __str__(self) -> str:
        if self.told:
            return f"{self.name} differs: {self.told}"
        return (
            f"{self.name} {'agrees' if self.agrees else 'differs'}: relative L2 {self.relative_l2:.3g}, "
            f"worst row {self.worst_row} with {self.worst_l2:.3g}"
            + ("" if self.first is None else f", first differing index {list(self.first)}")
        )


def expected_of(reference: Callable[..., Any], kernel: Any, call: Call) -> Any:
    """What `reference` says of copies of a kernel's arguments: of all that it has parameters for, by name.

    Raises:
        click.UsageError: it is no function, a parameter of it is none of the kernel's arguments, or it raises.
    """
    if not callable(reference):
        raise click.UsageError(f"--check: is a function of the kernel's arguments; got {_kind(reference)}")
    given = inspect.signature(kernel).bind(*call[0], **call[1]).arguments
    parameters = inspect.signature(reference).parameters.values()
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    wanted = {p.name for p in parameters}
    chosen = {name: _copied(value) for name, value in given.items() if takes_all or name in wanted}
    try:
        inspect.signature(reference).bind(**chosen)
    except TypeError as error:
        raise click.UsageError(f"--check: {error}; the kernel's arguments are {', '.join(given)}") from None
    try:
        return reference(**chosen)
    except Exception as error:
        raise click.UsageError(f"--check: {retold(error)}") from None


def _kind(value: Any) -> str:
    """What a value is, in a word or two."""
    return f"{type(value).__name__} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def is_rough(expected: Any) -> bool:
    """Whether a reference computed in 16 bits, as NumPy does with the arguments of such a kernel."""
    values = expected if isinstance(expected, tuple | list) else (expected,)
    return any(isinstance(value, np.ndarray) and value.dtype.name in ("bfloat16", "float16") for value in values)


def compare_outputs(outputs: Any, expected: Any, tolerance: float) -> Iterator[OutputCheck]:
    """Each output beside its reference, in float64; NaN agrees with NaN."""
    mine, theirs = (value if isinstance(value, tuple | list) else (value,) for value in (outputs, expected))
    if len(mine) != len(theirs):
        yield OutputCheck("outputs", np.inf, told=f"the kernel returns {len(mine)}, the reference {len(theirs)}")
        return
    for number, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        yield _compare(f"output[{number}]" if len(mine) > 1 else "output", float64(a), float64(b), tolerance)


def _compare(name: str, a: Array, b: Array, tolerance: float) -> OutputCheck:
    if a.shape != b.shape:
        return OutputCheck(name, np.inf, told=f"the kernel returns shape {a.shape}, the reference {b.shape}")
    if not a.size:
        return OutputCheck(name, 0.0)
    rows, b_rows = (x.reshape(len(x) if x.ndim else 1, -1) for x in (a, b))
    same = (rows == b_rows) | (np.isnan(rows) & np.isnan(b_rows))
    with np.errstate(invalid="ignore"):
        error = np.nan_to_num(np.where(same, 0.0, np.abs(rows - b_rows)), nan=np.inf)
    size = np.nan_to_num(np.where(np.isfinite(b_rows), b_rows, 0.0))
    norms = np.linalg.norm(size, axis=1)
    scale = np.maximum(norms, np.sqrt(np.mean(norms**2)))
    scale[scale == 0] = 1.0
    by_row = np.linalg.norm(error, axis=1) / scale
    worst = int(np.argmax(by_row))
    outside = by_row > tolerance
    off = (error > (tolerance * scale / np.sqrt(rows.shape[1]))[:, None]) & outside[:, None]
    first = tuple(int(i) for i in np.unravel_index(int(np.argmax(off)), a.shape)) if outside.any() else None
    total = np.linalg.norm(norms) or 1.0
    return OutputCheck(name, float(np.linalg.norm(error) / total), worst, float(by_row[worst]), first)


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def float64(value: Any) -> Array:
    """An array of any dtype, or a torch tensor."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    return np.asarray(value).astype(np.float64)
