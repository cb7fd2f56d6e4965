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
        bounds: the first byte and the one behind the last.
        rows, pitch: the row numbers of a gather or scatter and the distance between rows, else None and 0.
    """

    start: int
    dims: tuple[tuple[int, int], ...]
    run: int
    bounds: tuple[int, int]
    rows: Array | None = None
    pitch: int = 0

    @property
    def unit(self) -> int:
        """The largest size of which all distances are multiples."""
        return math.gcd(self.start, self.run, self.pitch, *(stride for stride, _ in self.dims))


def footprint(access: Access) -> Footprint | None:
    """The bytes of `access`, or None if it touches nothing."""
    if access.rows is None:
        return _footprint(access.start, access.shape, access.strides, access.dtype.itemsize)
    if access.size == 0:
        return None
    one = _footprint(access.start, access.shape[1:], access.strides[1:], access.dtype.itemsize)
    assert one is not None
    rows, pitch, (low, high) = access.rows, access.strides[0], one.bounds
    ends = (int(rows.min()) * pitch, int(rows.max()) * pitch)
    return one._replace(bounds=(low + min(ends), high + max(ends)), rows=rows, pitch=pitch)


@functools.lru_cache(maxsize=1 << 16)
def _footprint(start: int, shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Footprint | None:
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
    return Footprint(start, tuple(dims), run, (start, end))


def first_common_byte(a: Access, b: Access) -> int | None:
    """The lowest byte that two accesses to one memory share, or None."""
    one, other = footprint(a), footprint(b)
    if one is None or other is None:
        return None
    (low, high), (start, end) = one.bounds, other.bounds
    if high <= start or end <= low:
        return None
    tiles = _tile(one, a.storage.pitch), _tile(other, a.storage.pitch)
    if tiles[0] is not None and tiles[1] is not None:
        return _first_common_of_tiles(tiles[0], tiles[1], a.storage.pitch)
    unit = math.gcd(one.unit, other.unit)
    common = np.intersect1d(_units(one, unit), _units(other, unit))
    return int(common[0]) * unit if common.size else None


class _Tile(NamedTuple):
    """One run of bytes in each of some adjacent partitions: first partition, the one behind the last; bytes too."""

    partition: int
    last: int
    byte: int
    end: int


def _tile(f: Footprint, pitch: int) -> _Tile | None:
    """The footprint as a rectangle of partitions by bytes, which most are."""
    partition, byte = divmod(f.start, pitch)
    if f.rows is None and byte + f.run <= pitch:
        if not f.dims:
            return _Tile(partition, partition + 1, byte, byte + f.run)
        if len(f.dims) == 1 and f.dims[0][0] == pitch:
            return _Tile(partition, partition + f.dims[0][1], byte, byte + f.run)
    if f.rows is None and not f.dims and byte == 0 and f.run % pitch == 0:
        return _Tile(partition, partition + f.run // pitch, 0, pitch)
    return None


def _first_common_of_tiles(one: _Tile, other: _Tile, pitch: int) -> int | None:
    """The lowest common byte of two rectangles, which may be neighbours in one bank."""
    partition, byte = max(one.partition, other.partition), max(one.byte, other.byte)
    if partition >= min(one.last, other.last) or byte >= min(one.end, other.end):
        return None
    return partition * pitch + byte


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
