"""Which bytes of a memory an access touches, exactly, and one small number for each of them.

Bytes are kept in units: the largest size that divides every distance of every access so far. Rows of 4 KiB that are
always touched whole cost one unit each.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from nkisim.memory import Access

Array = np.ndarray[Any, np.dtype[Any]]


class Footprint(NamedTuple):
    """The bytes of an access, without order and repetition.

    Attributes:
        start: the lowest byte (of row 0, for a gather or scatter).
        dims: (stride, count) in bytes, strides rising and positive.
        run: bytes touched together.
        rows, pitch: the row numbers of a gather or scatter and the distance between rows, else None and 0.
    """

    start: int
    dims: tuple[tuple[int, int], ...]
    run: int
    rows: Array | None
    pitch: int

    @property
    def unit(self) -> int:
        """The largest size of which all distances are multiples."""
        return math.gcd(self.start, self.run, self.pitch, *(stride for stride, _ in self.dims))

    @property
    def bounds(self) -> tuple[int, int]:
        """The first byte and the one behind the last."""
        low, high = self.start, self.start + self.run + sum(stride * (n - 1) for stride, n in self.dims)
        if self.rows is None:
            return low, high
        ends = (int(self.rows.min()) * self.pitch, int(self.rows.max()) * self.pitch)
        return low + min(ends), high + max(ends)


def footprint(access: Access) -> Footprint | None:
    """The bytes of `access`, or None if it touches nothing."""
    if access.size == 0:
        return None
    rows, pitch = access.rows, 0
    pairs = list(zip(access.strides, access.shape, strict=True))
    if rows is not None:
        pitch = pairs.pop(0)[0]
    start, dims = access.start, []
    for stride, count in pairs:
        if count > 1 and stride:
            start += min(0, stride * (count - 1))
            dims.append((abs(stride), count))
    dims.sort()
    run = access.dtype.itemsize
    while dims and dims[0][0] == run:
        run *= dims.pop(0)[1]
    return Footprint(start, tuple(dims), run, rows, pitch)


def first_common_byte(a: Access, b: Access) -> int | None:
    """The lowest byte that two accesses to one memory share, or None."""
    one, other = footprint(a), footprint(b)
    if one is None or other is None:
        return None
    (low, high), (start, end) = one.bounds, other.bounds
    if high <= start or end <= low or _apart_within_partitions(a, b):
        return None
    unit = math.gcd(one.unit, other.unit)
    common = np.intersect1d(_units(one, unit), _units(other, unit))
    return int(common[0]) * unit if common.size else None


def _apart_within_partitions(a: Access, b: Access) -> bool:
    """Whether two on-chip tiles lie in different bytes of their partitions: neighbours in one bank, for example."""
    if not a.storage.buffer.is_on_chip or a.storage.pitch != b.storage.pitch:
        return False
    (low, high), (start, end) = _within_partition(a), _within_partition(b)
    return high <= start or end <= low


def _within_partition(access: Access) -> tuple[int, int]:
    """First byte and the one behind the last, counted from the start of a partition."""
    low = access.start % access.storage.pitch
    spans = [stride * (count - 1) for stride, count in zip(access.strides[1:], access.shape[1:], strict=True)]
    return low + sum(s for s in spans if s < 0), low + sum(s for s in spans if s > 0) + access.dtype.itemsize


def _units(f: Footprint, unit: int) -> Array:
    """Numbers of the units it covers."""
    parts = [np.array([f.start // unit]), np.arange(f.run // unit)]
    parts += [np.arange(count) * (stride // unit) for stride, count in f.dims]
    if f.rows is not None:
        parts.append(f.rows.astype(np.int64) * (f.pitch // unit))
    return functools.reduce(lambda a, b: np.add.outer(a, b).reshape(-1), parts)


class ByteMap:
    """One number for each byte of `nbytes` bytes of memory, 0 at first."""

    def __init__(self, nbytes: int, dtype: Any = np.uint8) -> None:
        self._nbytes, self._unit = nbytes, 0
        self._values: Array = np.zeros(0, dtype)

    def get(self, access: Access) -> Array:
        """The numbers of the bytes of `access`, each unit once."""
        f = footprint(access)
        if f is None:
            return self._values[:0]
        view = self._view(f)
        return view if f.rows is None else view[f.rows]

    def put(self, access: Access, value: int) -> None:
        """Give every byte of `access` the number `value`."""
        f = footprint(access)
        if f is not None:
            self._view(f)[... if f.rows is None else f.rows] = value

    def include(self, access: Access, bits: int) -> None:
        """Set `bits` in the number of every byte of `access`."""
        f = footprint(access)
        if f is not None:
            self._view(f)[... if f.rows is None else f.rows] |= bits

    def _view(self, f: Footprint) -> Array:
        """The numbers at a footprint, all rows of a gather up to the last."""
        self._refine(f.unit)
        unit, item = self._unit, self._values.itemsize
        shape = [count for _, count in f.dims] + [f.run // unit]
        strides = [stride // unit * item for stride, _ in f.dims] + [item]
        if f.rows is not None:
            shape, strides = [int(f.rows.max()) + 1, *shape], [f.pitch // unit * item, *strides]
        return np.ndarray(shape, self._values.dtype, self._values.data, f.start // unit * item, strides)

    def _refine(self, unit: int) -> None:
        """Make units small enough for one of this size."""
        if self._unit == 0:
            self._unit = unit
            self._values = np.zeros(-(-self._nbytes // unit), self._values.dtype)
        elif unit % self._unit:
            smaller = math.gcd(self._unit, unit)
            self._values = np.repeat(self._values, self._unit // smaller)
            self._unit = smaller
