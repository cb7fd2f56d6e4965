# SPDX-License-Identifier: Apache-2.0
"""Bytes that two accesses to one memory share."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from nkisim.dtypes import Array
from nkisim.memory import Access
from nkisim.memory.footprint import Footprint, footprint, of_pattern


def first_common_byte(a: Access, b: Access) -> int | None:
    """The lowest byte that two accesses to one memory share, or None."""
    pitch = a.storage.pitch
    if a.rows is None and b.rows is None:
        return _first_common(_pattern(a), _pattern(b), pitch)
    one, other = footprint(a), footprint(b)
    return None if one is None or other is None else _first_of_both(one, other, pitch)


def _pattern(access: Access) -> tuple[Any, ...]:
    return access.start, access.shape, access.strides, access.dtype.itemsize


@functools.lru_cache(maxsize=1 << 16)
def _first_common(a: tuple[Any, ...], b: tuple[Any, ...], pitch: int) -> int | None:
    """Kernels use the same few parts of tiles again and again, so this is looked up."""
    one, other = of_pattern(*a), of_pattern(*b)
    return None if one is None or other is None else _first_of_both(one, other, pitch)


def _first_of_both(one: Footprint, other: Footprint, pitch: int) -> int | None:
    (low, high), (start, end) = one.bounds, other.bounds
    if high <= start or end <= low:
        return None
    tiles = _tile(one, pitch), _tile(other, pitch)
    if tiles[0] is not None and tiles[1] is not None:
        return _first_common_of_tiles(tiles[0], tiles[1], pitch)
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
