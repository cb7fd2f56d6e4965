"""What the statements of the grammar mean, in NumPy and ml_dtypes alone: nothing of nkisim is used here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, Any]
FP8 = ("float8_e4m3", "float8_e5m2", "float8_e4m3fn")
HALVES = ("bfloat16", "float16")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32")
DTYPES: dict[str, Any] = {
    name: np.dtype(getattr(ml_dtypes, name, None) or getattr(np, name))
    for name in ("float32", *HALVES, *FP8, *INTEGERS)
}
EXACT_BITS = 24  # of a sum in fp32


class Unfit(Exception):
    """A statement whose result the documents leave open: a sum that depends on its order, or a value without end."""


def of(values: Any) -> Array:
    """As the engines read it: fp32."""
    return np.asarray(values).astype(np.float32)


def to(values: Any, dtype: str) -> Array:
    """Rounded to nearest even; fp8 and integers saturate. Of one type, nothing changes."""
    values, wanted = np.asarray(values), DTYPES[dtype]
    if values.dtype == wanted:
        return values.copy()
    if dtype in INTEGERS:
        limits = np.iinfo(wanted)
        exact = values.astype(np.float64) if values.dtype == np.int64 else np.rint(of(values).astype(np.float64))
        return np.clip(exact, limits.min, limits.max).astype(wanted)
    if dtype in FP8:
        largest = float(ml_dtypes.finfo(wanted).max)
        return np.clip(of(values), -largest, largest).astype(wanted)
    with np.errstate(over="ignore"):
        return of(values).astype(wanted)


TRUTH = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
LOGIC = ("logical_and", "logical_or", "logical_xor")


def alu(op: str, left: Any, right: Any) -> Array:
    """One operation of the Vector Engine: one rounding to fp32, truth as 1 and 0.

    Raises:
        Unfit: a result is infinite, or no number.
    """
    a, b = of(left), of(right)
    if op in LOGIC:
        a, b = a != 0, b != 0
    with np.errstate(over="ignore", invalid="ignore"):
        result = np.asarray(getattr(np, op)(a, b)).astype(np.float32)
    if not np.isfinite(result).all():
        raise Unfit("not finite")
    return result


def whole(op: str, left: Array, right: Array, dtype: str) -> Array:
    """Of 32-bit integers, which wrap around."""
    a, b = left.astype(np.int64), right.astype(np.int64)
    if op in LOGIC:
        a, b = a != 0, b != 0
    return np.asarray(getattr(np, op)(a, b)).astype(np.int64).astype(np.uint32).view(DTYPES[dtype])


def bits(op: str, left: Array, right: Any) -> Array:
    """Of the bits of integers; shifts to the right bring in zeros."""
    right = np.asarray(right).astype(left.dtype)
    if op == "right_shift":
        unsigned = left.view(f"u{left.itemsize}")
        return np.right_shift(unsigned, right.view(unsigned.dtype)).view(left.dtype)
    return np.asarray(getattr(np, op)(left, right))


def _unit(values: Array) -> float:
    """The largest power of two of which all values are multiples."""
    fraction, exponent = np.frexp(values[values != 0].astype(np.float64))
    if not fraction.size:
        return 1.0
    whole_part = (fraction * 2.0**53).astype(np.int64)
    lowest = np.log2((whole_part & -whole_part).astype(np.float64))
    return float(np.exp2(np.min(lowest + exponent - 53)))


def summed(values: Any, axis: int | tuple[int, ...]) -> Array:
    """A sum that is the same in fp32 in any order.

    Raises:
        Unfit: it is not.
    """
    exact = of(values).astype(np.float64)
    if np.abs(exact).sum(axis).max() >= _unit(exact) * 2**EXACT_BITS:
        raise Unfit("the order of the sum matters")
    return exact.sum(axis).astype(np.float32)


def product(stationary: Any, moving: Any) -> Array:
    """stationary.T @ moving, the same in fp32 in any order.

    Raises:
        Unfit: it is not.
    """
    a, b = (of(each).astype(np.float64) for each in (stationary, moving))
    if (np.abs(a).T @ np.abs(b)).max() >= _unit(a) * _unit(b) * 2**EXACT_BITS:
        raise Unfit("the order of the sums matters")
    return (a.T @ b).astype(np.float32)


def scanned(a: Any, b: Any, initial: float, op0: str, op1: str) -> Array:
    """result[i] = (a[i] <op0> result[i-1]) <op1> b[i]."""
    state, columns = np.full(len(a), initial, np.float32), []
    for i in range(a.shape[1]):
        state = alu(op1, alu(op0, a[:, i], state), b[:, i])
        columns.append(state)
    return np.stack(columns, 1)


def affine(partitions: int, pattern: list[list[int]], offset: int, channel: int) -> Array:
    """The integers of iota [partitions, elements]."""
    row = np.zeros(1, np.int64)
    for step, count in pattern:
        row = (row[:, None] + np.arange(count) * step).reshape(-1)
    return offset + channel * np.arange(partitions)[:, None] + row


def shuffled(values: Array, mask: list[int]) -> Array:
    """In each 32 partitions row i is row mask[i]."""
    rows = np.arange(len(values))
    return values[rows // 32 * 32 + np.array(mask)[rows % 32]]


def gathered_in_groups(values: Array, index: Array) -> Array:
    """Each 16 partitions gather the columns that their indices name, down the partitions first."""
    parts = [
        values[start : start + 16][:, index[start : start + 16].T.reshape(-1).astype(int)]
        for start in range(0, len(values), 16)
    ]
    return np.concatenate(parts)


def gathered(table: Array, ids: Array, missing: Array) -> Array:
    """Rows of a table; where the id is out of bounds, those of `missing`."""
    found = missing.copy()
    inside = (ids[:, 0] >= 0) & (ids[:, 0] < len(table))
    found[inside] = table[ids[inside, 0]]
    return found


def scattered(table: Array, ids: Array, rows: Array) -> Array:
    """The table with rows[i] at ids[i], where that is inside."""
    result = table.copy()
    inside = (ids[:, 0] >= 0) & (ids[:, 0] < len(table))
    result[ids[inside, 0]] = rows[inside]
    return result


def eight_largest(values: Any) -> Array:
    """Of each row, in falling order."""
    return -np.sort(-of(values), axis=1)[:, :8]


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu_apprx_sigmoid": lambda x: x / (1 + np.exp(-1.702 * x)),
    "softplus": lambda x: np.logaddexp(x, 0),
    "arctan": np.arctan,
    "sqrt": lambda x: np.sqrt(np.abs(x) + 1),
    "reciprocal": lambda x: 1 / (np.abs(x) + 1),
}


def activated(name: str, values: Any) -> Array:
    """A function of the Scalar Engine in fp64; the root and the reciprocal are of |x| + 1."""
    return FUNCTIONS[name](of(values).astype(np.float64))


def draw(seed: int, shape: tuple[int, ...], dtype: str, style: str) -> Array:
    """Values of an argument.

    Args:
        style: "small" whole numbers and halves; "normal"; "wide", over 16 powers of two; "ids" from -1 on, all
            different; "below N": whole numbers of 0..N-1; "chain": numbers below their own row, but 0 in row 0.
    """
    rng = np.random.default_rng(seed)
    if style == "ids":
        return (rng.permutation(shape[0] * 2)[: shape[0]] - 1).reshape(shape).astype(DTYPES[dtype])
    if style.startswith("below"):
        return rng.integers(0, int(style.split()[1]), shape).astype(DTYPES[dtype])
    if style == "chain":
        return (np.arange(shape[0]) * rng.random(shape[0])).astype(DTYPES[dtype]).reshape(shape)
    if style == "small":
        values = rng.integers(-4, 5, shape) / (1 if dtype in INTEGERS else 2)
    else:
        values = rng.standard_normal(shape) * (1 if style == "normal" else np.exp2(rng.integers(-8, 9, shape)))
        values = values * (30 if dtype in INTEGERS else 1)
    return to(values.astype(np.float32), dtype)
