# SPDX-License-Identifier: Apache-2.0
"""Two ways to run the functions of this folder: as plain Python over lists, and compiled by numba over NumPy arrays.

Both do the same arithmetic in the same order, so every bit of a result is the same. Compiled code is much faster, but
it takes half a second to load, and about twenty to compile: once, because it is kept on disk, for each version of these
files. So a process begins with plain Python. It goes over to compiled code that is there when it has scheduled as much
as takes a fraction of the loading, and compiles when it has scheduled so much that more of it is to be expected. Where
numba is missing, or nothing can be kept, it stays with plain Python.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib.util
import os
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from itertools import repeat
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", int, float)
Row = TypeVar("Row", bound=Sequence[float])
R = TypeVar("R")

_HERE = Path(__file__).parent
_LOAD, _COMPILE = 30_000, 400_000
"""How many tasks this process schedules in plain Python before it loads compiled code, and before it compiles."""


class Way(Protocol):
    """Arrays of one kind, and functions that take them. What it makes is typed as the lists of plain Python."""

    def ints(self, values: list[int]) -> list[int]: ...

    def rows(self, rows: list[Row], width: int) -> list[Row]:
        """Rows of that many floats."""
        ...

    def filled(self, count: int, value: T) -> list[T]:
        """So many equal numbers."""
        ...

    def records(self, kind: type[R], count: int, *columns: Sequence[float] | float) -> list[R]:
        """So many records of a dataclass of ints and floats; each of its attributes has a column, or one value."""
        ...

    def column(self, records: list[R], name: str) -> list[Any]:
        """An attribute of all records, for `records`."""
        ...

    def listed(self, array: list[T]) -> list[T]:
        """A list of Python's numbers."""
        ...

    def function(self, function: F) -> F:
        """The function for these arrays."""
        ...


class PlainPython:
    """Lists, and functions as they are written."""

    def ints(self, values: list[int]) -> list[int]:
        return values

    def rows(self, rows: list[Row], width: int) -> list[Row]:
        return rows

    def filled(self, count: int, value: T) -> list[T]:
        return [value] * count

    def records(self, kind: type[R], count: int, *columns: Sequence[float] | float) -> list[R]:
        each = [repeat(column, count) if isinstance(column, int | float) else column for column in columns]
        with _no_collection():  # of garbage, which the many new objects would set off again and again
            return list(map(kind, *each))

    def column(self, records: list[R], name: str) -> list[Any]:
        return list(map(attrgetter(name), records))

    def listed(self, array: list[T]) -> list[T]:
        return array

    def function(self, function: F) -> F:
        return function


class Compiled:
    """NumPy arrays, of structures where the others are of objects, and functions compiled when they are called first.

    Args:
        cache: where compiled code is kept.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._functions: dict[Callable[..., Any], Any] = {}

    def ints(self, values: list[int]) -> list[int]:
        return cast(list[int], np.array(values, np.int64))

    def rows(self, rows: list[Row], width: int) -> list[Row]:
        return cast(list[Row], np.array(rows, np.float64).reshape(len(rows), width))

    def filled(self, count: int, value: T) -> list[T]:
        return cast(list[T], np.full(count, value))

    def records(self, kind: type[R], count: int, *columns: Sequence[float] | float) -> list[R]:
        made = np.empty(count, _structure(kind))
        for name, column in zip(made.dtype.names or (), columns, strict=True):
            made[name] = column
        return cast(list[R], made)

    def column(self, records: list[R], name: str) -> list[Any]:
        return cast(Any, records)[name]

    def listed(self, array: list[T]) -> list[T]:
        return cast(Any, array).tolist()

    def function(self, function: F) -> F:
        found = self._functions.get(function)
        if found is None:
            with _kept_in(self._cache):
                found = self._functions[function] = _despite_full_disk(_twin(function, {}, cache=True))
        return cast(F, found)


PLAIN: Way = PlainPython()


def _structure(kind: type) -> np.dtype[Any]:
    """One structure of the array of a dataclass."""
    attributes = fields(cast(Any, kind))
    return np.dtype([(each.name, np.int64 if each.type == "int" else np.float64) for each in attributes])


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Python does not look for garbage meanwhile."""
    was_on = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def _kept_in(cache: Path) -> Iterator[None]:
    """Functions that numba is given meanwhile are kept there."""
    from numba import config

    before = config.CACHE_DIR
    config.CACHE_DIR = str(cache)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _despite_full_disk(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """The function, also where it is compiled in its first call and then cannot be kept."""

    def call(*args: Any) -> Any:
        try:
            return compiled(*args)
        except OSError:  # numba keeps what it has compiled before it calls that: nothing was done
            return compiled(*args)

    return call


def _twin(function: Callable[..., Any], made: dict[Callable[..., Any], Any], cache: bool = False) -> Any:
    """The function for numba, and in it those of this folder that it calls: as written they stay as they are."""
    from numba import njit

    if function not in made:
        named = ((name, function.__globals__.get(name)) for name in function.__code__.co_names)
        called = {name: _twin(of, made) for name, of in named if isinstance(of, types.FunctionType)}
        made[function] = njit(cache=cache, no_cpython_wrapper=not cache, no_cfunc_wrapper=True, error_model="numpy")(
            types.FunctionType(function.__code__, {**function.__globals__, **called}, function.__name__)
        )
    return made[function]


class _Choice:
    """What this process uses.

    Attributes:
        scheduled: how many tasks it has scheduled in plain Python.
        way: what is used; None while that may change.
    """

    def __init__(self) -> None:
        self.scheduled = 0
        self.way: Way | None = None

    def take(self, tasks: int) -> Way:
        """What the next schedule of so many tasks uses."""
        if self.way is not None:
            return self.way
        self.scheduled += tasks
        if self.scheduled < _LOAD:
            return PLAIN
        folder = cache_folder() if importlib.util.find_spec("numba") else None
        if folder is None:
            self.way = PLAIN
        elif self.scheduled >= _COMPILE or _has_compiled(folder):
            self.way = Compiled(folder)
        return self.way or PLAIN


_CHOICE = _Choice()


def worthwhile(tasks: int) -> Way:
    """The way for a schedule of so many tasks that takes least time, as far as this process can know."""
    return _CHOICE.take(tasks)


def cache_folder() -> Path | None:
    """Where code compiled from these files is kept: in NUMBA_CACHE_DIR, or the user's caches; None if neither can be
    written, because then every process would compile.
    """
    from platformdirs import user_cache_path

    sources = b"".join(path.read_bytes() for path in sorted(_HERE.glob("*.py")))
    base = os.environ.get("NUMBA_CACHE_DIR") or user_cache_path("nkisim", appauthor=False) / "compiled"
    folder = Path(base) / hashlib.sha256(sources).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def _has_compiled(folder: Path) -> bool:
    """Whether code is kept there for this Python."""
    major, minor = sys.version_info[:2]
    return any(folder.rglob(f"*.py{major}{minor}.nbi"))
