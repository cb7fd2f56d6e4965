# SPDX-License-Identifier: Apache-2.0
"""Arguments of a kernel, as a command line gives them."""

from __future__ import annotations

import ast
import inspect
import math
import os
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from nkisim.command_help import meant
from nkisim.dtypes import DTYPES, Array, DType
from nkisim.errors import retold
from nkisim.named_objects import load_named

_RANGE = re.compile(r"(-?[\d.]+(?:e-?\d+)?)\.\.(-?[\d.]+(?:e-?\d+)?)")
DEFAULT_DTYPE = "bfloat16"
_TINY, _LARGE = 1e-3, 48.0  # squares near the eps of norms; past 88, where exp overflows, and within 240 of fp8
_WIDEST = 8  # bytes of an element while values are drawn


def arguments(
    inputs: Iterable[str], values: Iterable[str], factory: str | None, seed: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named arguments of a call.

    Args:
        inputs: tensors, "NAME=SHAPE[:DTYPE[:FILL]]" or "NAME=FILE.npy[:DTYPE]".
        values: anything else, "NAME=PYTHON LITERAL"; what is no literal is a string.
        factory: "module:function" that returns a dictionary of arguments, or a tuple.
        seed: of random tensors. Each has a generator of its own, which its name seeds, too.

    Raises:
        click.UsageError: one of them cannot be read.
    """
    positional: tuple[Any, ...] = ()
    named: dict[str, Any] = {}
    if factory is not None:
        made = _made(factory)
        if isinstance(made, Mapping):
            named.update(made)
        elif isinstance(made, tuple):
            positional = made
        else:
            raise click.UsageError(f"--inputs {factory}: returned {type(made).__name__}, not a dictionary or a tuple")
    for text in inputs:
        name, spec = _split(text, "--input")
        named[name] = tensor(spec, np.random.default_rng([seed, zlib.crc32(name.encode())]))
    for text in values:
        name, spec = _split(text, "--arg")
        named[name] = _literal(spec)
    return positional, named


def tensor(spec: str, rng: np.random.Generator) -> Array:
    """The array of "SHAPE[:DTYPE[:FILL]]" or "FILE.npy[:DTYPE]".

    SHAPE is 128x512. FILL is normal (the default of floats), edges (normal, but of dimension 0 the first row is zeros,
    the second tiny, the third large), zeros (the default of integers), ones, arange, or A..B: evenly distributed,
    integers with both ends.

    Raises:
        click.UsageError: the text or the file cannot be read so.
    """
    first, *rest = spec.split(":")
    if first.endswith(".npy"):
        return _from_file(Path(first), rest[0] if rest else None)
    if not re.fullmatch(r"[0-9]{1,18}(x[0-9]{1,18})*", first) or len(rest) > 2:
        raise click.UsageError(f"--input {spec}: give SHAPE[:DTYPE[:FILL]], as 128x512:bfloat16, or a .npy file")
    shape = tuple(int(n) for n in first.split("x"))
    dtype = _dtype(rest[0] if rest else DEFAULT_DTYPE)
    _check_memory(spec, math.prod(shape) * _WIDEST)
    fill = rest[1] if len(rest) > 1 else "zeros" if dtype.kind != "float" else "normal"
    try:
        return _filled(shape, dtype, fill, rng)
    except (ValueError, OverflowError, MemoryError) as error:
        raise click.UsageError(f"--input {spec}: {error}") from None


def _check_memory(spec: str, nbytes: int) -> None:
    """Refuse what cannot lie in this machine's memory, before any of it is allocated."""
    here = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if nbytes > here:
        raise click.UsageError(
            f"--input {spec}: takes up to {nbytes / 2**30:,.0f} GiB to make; this machine has {here / 2**30:,.0f} GiB. "
            "Give a smaller shape, or broadcast one element in a function for --inputs, with --no-numerics."
        )


def _made(factory: str) -> Any:
    """What the function for --inputs returns."""
    function = load_named(factory)
    if not callable(function):
        raise click.UsageError(f"--inputs {factory}: is no function: {type(function).__name__}")
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise click.UsageError(f"--inputs {factory}: {retold(error)}") from None


def require_all(function: Any, positional: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Check a call against the signature.

    Raises:
        click.UsageError: it is no function, an argument is missing, or is none of the kernel's.
    """
    if not callable(function) or inspect.isclass(function) or inspect.isbuiltin(function):
        raise click.UsageError(f"the kernel is a function of Python; got {type(function).__name__} {function!r:.60}")
    try:
        inspect.signature(function).bind(*positional, **named)
    except TypeError as error:
        takes = ", ".join(inspect.signature(function).parameters)
        raise click.UsageError(
            f"{error}; the kernel takes {takes or 'nothing'}. "
            "Tensors: --input NAME=SHAPE:DTYPE or NAME=FILE.npy; others: --arg NAME=VALUE."
        ) from None


def _filled(shape: tuple[int, ...], dtype: DType, fill: str, rng: np.random.Generator) -> Array:
    bounds = _RANGE.fullmatch(fill)
    if bounds and float(bounds[1]) > float(bounds[2]):
        raise click.UsageError(f"{fill}: the lower bound comes first")
    if dtype.kind in ("packed", "scale"):
        raise click.UsageError(f"{dtype}: random tensors of this type mean nothing; give a .npy file or --inputs")
    values: Array
    if bounds and dtype.kind == "float":
        values = rng.uniform(float(bounds[1]), float(bounds[2]), shape)
    elif bounds:
        values = rng.integers(int(float(bounds[1])), int(float(bounds[2])), shape, endpoint=True)
    elif fill in ("normal", "edges") and dtype.kind == "float":
        values = rng.standard_normal(shape, dtype=np.float32)
        if fill == "edges":
            factors = np.array([0.0, _TINY, _LARGE], np.float32)[: len(values)]
            values[: len(factors)] *= factors.reshape(-1, *[1] * (len(shape) - 1))
    elif fill == "arange":
        values = np.arange(math.prod(shape)).reshape(shape)
    elif fill in ("zeros", "ones"):
        values = np.full(shape, int(fill == "ones"))
    else:
        raise click.UsageError(
            f"{fill}: a tensor of {dtype} is filled with normal, edges (floats), zeros, ones, arange or A..B"
        )
    return values.astype(dtype.numpy)


def _from_file(path: Path, name: str | None) -> Array:
    try:
        values: Array = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a header may lie about the size
    except (OSError, ValueError, EOFError, MemoryError, SyntaxError) as error:
        raise click.UsageError(f"{path}: {error}") from None
    if not isinstance(values, np.ndarray):
        values.close()
        raise click.UsageError(f"{path}: holds several arrays; give a .npy file of one")
    values = np.array(values)
    if name is None:
        return values
    dtype = _dtype(name)
    if values.dtype != dtype.numpy:
        if values.dtype.itemsize != dtype.itemsize:
            raise click.UsageError(f"{path}: {values.dtype} cannot be read as {dtype}: another size")
        values = values.view(dtype.numpy)  # NumPy saves bfloat16 and fp8 as raw bytes
    return values


def _dtype(name: str) -> DType:
    if name not in DTYPES:
        raise click.UsageError(f"{name}: no data type of NKI; there are {', '.join(DTYPES)}.{meant(name, DTYPES)}")
    return DTYPES[name]


def _split(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name.isidentifier() or not equals:
        raise click.UsageError(f"{option} {text}: give NAME=VALUE")
    return name, value


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # deep nesting ends in the last two
        return text
