# SPDX-License-Identifier: Apache-2.0
"""Other arguments to try a pair of kernels with: odd sizes, and values that show what ordinary ones hide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from nkisim.dtypes import Array

Named = dict[str, Any]


def _signs(array: Array) -> Array:
    return np.where(np.indices(array.shape).sum(axis=0) % 2, -1, 1)


_VALUES: dict[str, Callable[[Array], Array]] = {
    "zeros": lambda x: np.zeros_like(x),
    "one negative value everywhere": lambda x: np.full_like(x, -1),
    "the position as value": lambda x: (np.arange(x.size).reshape(x.shape) % 251 / 64).astype(x.dtype),
    "large values of both signs": lambda x: (x.astype(np.float32) * 64 * _signs(x)).astype(x.dtype),
    "one large value among small ones": lambda x: _with_peak(x),
}


def _with_peak(x: Array) -> Array:
    small = (x.astype(np.float32) / 1024).astype(x.dtype)
    small.reshape(-1)[-1] = 1024
    return small


class ArgumentSet(NamedTuple):
    """A set of arguments.

    Attributes:
        name: what is special about them; has_other_sizes: whether a size was changed.
    """

    name: str
    arguments: Named
    has_other_sizes: bool = False


def variants(named: Named) -> Iterator[ArgumentSet]:
    """The arguments themselves, then with other values, then with other sizes.

    Integers, which may be indices, keep their values. A size changes wherever arguments have it.
    """
    yield ArgumentSet("as given", named)
    for name, change in _VALUES.items():
        changed = {key: change(value) if _is_float(value) else value for key, value in named.items()}
        yield ArgumentSet(name, changed)
    sizes = sorted({size for value in named.values() if isinstance(value, np.ndarray) for size in value.shape})
    for size in sizes:
        for other in dict.fromkeys((size - 1, size + 1, size // 2, size // 2 + 1)):
            if 0 < other != size:
                yield ArgumentSet(f"{other} in place of {size}", _resized(named, size, other), True)


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fV"


def _resized(named: Named, size: int, other: int) -> Named:
    return {
        key: _with_size(value, size, other) if isinstance(value, np.ndarray) else value for key, value in named.items()
    }


def _with_size(array: Array, size: int, other: int) -> Array:
    shape = tuple(other if n == size else n for n in array.shape)
    return np.ascontiguousarray(np.resize(array, shape))
