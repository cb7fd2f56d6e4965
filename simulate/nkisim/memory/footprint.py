# SPDX-License-Identifier: Apache-2.0
"""Which bytes of a memory an access touches, exactly, without order and repetition."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from nkisim.dtypes import Array
from nkisim.memory.access import Access


class Footprint(NamedTuple):
    """The bytes of an access, without order and repetition.

    Attributes:
        start: the lowest byte (of row 0, for a gather or scatter).
        dims: (stride, count) in bytes, strides rising and positive.
        run: bytes touched together.
        bounds: the first byte and the one behind the last.
        unit: the largest size of which all distances are multiples.
        rows, pitch: the row numbers of a gather or scatter and the distance between rows, else None and 0.
    """

    start: int
    dims: tuple[tuple[int, int], ...]
    run: int
    bounds: tuple[int, int]
    unit: int
    rows: Array | None = None
    pitch: int = 0


def footprint(access: Access) -> Footprint | None:
    """The bytes of `access`, or None if it touches nothing."""
    if access.rows is None:
        return of_pattern(access.start, access.shape, access.strides, access.dtype.itemsize)
    if access.size == 0:
        return None
    one = of_pattern(access.start, access.shape[1:], access.strides[1:], access.dtype.itemsize)
    assert one is not None
    rows, pitch, (low, high) = access.rows, access.strides[0], one.bounds
    ends = (int(rows.min()) * pitch, int(rows.max()) * pitch)
    bounds, unit = (low + min(ends), high + max(ends)), math.gcd(one.unit, pitch)
    return one._replace(bounds=bounds, unit=unit, rows=rows, pitch=pitch)


@functools.lru_cache(maxsize=1 << 16)
def of_pattern(start: int, shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Footprint | None:
    """As above, from the numbers of an access without rows."""
    if 0 in shape:
        return None
    dims = []
    for stride, count in zip(strides, shape, strict=True):
        if count > 1 and stride:
            start += min(0, stride * (count - 1))
            dims.append((abs(stride), count))
    dims.sort()
    run = itemsize
    while dims and dims[0][0] == run:
        run *= dims.pop(0)[1]
    end = start + run + sum(stride * (n - 1) for stride, n in dims)
    unit = math.gcd(start, run, *(stride for stride, _ in dims))
    return Footprint(start, tuple(dims), run, (start, end), unit)
