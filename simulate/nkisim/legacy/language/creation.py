# SPDX-License-Identifier: Apache-2.0
"""Tensors of NKI 0.1, and the index tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import Array, DType, dtype_of
from nkisim.errors import ArgumentError, DtypeError, PartitionError
from nkisim.language.allocation import ndarray as core_ndarray
from nkisim.language.allocation import shared_constant as core_constant
from nkisim.language.allocation import shared_identity_matrix as core_identity
from nkisim.legacy.homes import Placement, home_of
from nkisim.legacy.programs import current
from nkisim.legacy.tile import Tile
from nkisim.memory import DynamicSlice, MemoryRegion

_PARTITIONS = 128


def ndarray(shape: Any, dtype: Any, *, buffer: Any = None, name: str = "", **_: Any) -> Tile:
    """An unwritten tensor; on chip `nl.par_dim` marks its partition dimension, else that is the first.

    Raises:
        PartitionError, ShapeError, DtypeError: it cannot exist.
    """
    return _new(shape, dtype, buffer, name, None)


def _new(shape: Any, dtype: Any, buffer: Any, name: str, fill: float | None) -> Tile:
    placement = buffer if isinstance(buffer, Placement) else None
    region = placement.region if placement else MemoryRegion.sbuf if buffer is None else MemoryRegion(buffer)
    kind, name = _type(dtype), current().unused(name)
    if region is MemoryRegion.shared_hbm:
        return _shared(shape, kind, name)
    home = home_of(shape, kind, region, placement=placement, name=name, fill=fill)
    if region.is_hbm:
        home.pieces[0] = core_ndarray(home.shape, kind, region, name)
    elif home.partitions > _PARTITIONS:
        raise PartitionError(
            f"the partition dimension is at most {_PARTITIONS}",
            f"{home.shape}, dimension {home.blocks}",
            "Split it into tiles, or mark another dimension with nl.par_dim.",
        )
    return Tile(home)


def _type(dtype: Any) -> DType:
    try:
        return dtype_of(dtype)
    except TypeError:
        raise DtypeError("tensors have an NKI data type", f"{dtype!r}", "Use nl.float32, nl.bfloat16, ...") from None


def _shared(shape: Any, dtype: DType, name: str) -> Tile:
    """What all programs of a launch share: the first one allocates it."""
    launch = current()
    launch.used += 1
    if launch.used > len(launch.shared):
        launch.shared.append(Tile.of(core_ndarray(tuple(shape), dtype, MemoryRegion.private_hbm, name)))
    return launch.shared[launch.used - 1]


def full(shape: Any, fill_value: float, dtype: Any, *, buffer: Any = None, name: str = "", **_: Any) -> Tile:
    """A tensor of one value."""
    tile = _new(shape, dtype, buffer, name, float(fill_value))
    if tile.buffer.is_hbm:
        tile[...] = fill_value
    return tile


def zeros(shape: Any, dtype: Any, *, buffer: Any = None, name: str = "", **_: Any) -> Tile:
    """A tensor of zeros."""
    return full(shape, 0, dtype, buffer=buffer, name=name)


def ones(shape: Any, dtype: Any, *, buffer: Any = None, name: str = "", **_: Any) -> Tile:
    """A tensor of ones."""
    return full(shape, 1, dtype, buffer=buffer, name=name)


def empty_like(x: Tile, dtype: Any = None, *, buffer: Any = None, name: str = "", **_: Any) -> Tile:
    """An unwritten tensor like another one."""
    return ndarray(x.shape, dtype or x.dtype, buffer=buffer or x.buffer, name=name)


def zeros_like(x: Tile, dtype: Any = None, *, buffer: Any = None, name: str = "", **_: Any) -> Tile:
    """Zeros like another tensor."""
    return zeros(x.shape, dtype or x.dtype, buffer=buffer or x.buffer, name=name)


def shared_constant(constant: Any, dtype: Any = None, **_: Any) -> Tile:
    """An array of the host in HBM."""
    array = np.load(constant) if isinstance(constant, str) else np.asarray(constant)
    kind = dtype_of(dtype) if dtype is not None else _on_device(array)
    return Tile.of(core_constant(array.astype(kind.numpy)))


def _on_device(array: Array) -> DType:
    narrow = {"float64": "float32", "int64": "int32", "uint64": "uint32"}.get(str(array.dtype), array.dtype)
    return dtype_of(narrow)


def shared_identity_matrix(n: int, dtype: Any = "uint8", **_: Any) -> Tile:
    """An identity matrix in SBUF."""
    return Tile.of(core_identity(n, dtype))


def arange(*bounds: Any) -> Array:
    """An index tensor: integers of a range, to be given its axis with `[:, None]`."""
    return np.arange(*(int(bound) for bound in bounds))


class MeshGrid(tuple[Array, ...]):
    """Index tensors of several axes, `i_p, i_f = nl.mgrid[0:128, 0:512]`, each with sizes of 1 in the others."""

    p = property(lambda self: self[0])
    x = property(lambda self: self[-1])
    y = property(lambda self: self[-2])
    z = property(lambda self: self[-3])


class MeshGrids:
    """`nl.mgrid`."""

    def __getitem__(self, key: Any) -> MeshGrid:
        slices = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(one, slice) for one in slices):
            raise ArgumentError("mgrid takes slices", f"{key!r}", "Write nl.mgrid[0:128, 0:512].")
        ends = [(int(one.start or 0), int(one.stop), int(one.step or 1)) for one in slices]
        return MeshGrid(
            np.arange(*end).reshape((1,) * i + (-1,) + (1,) * (len(ends) - i - 1)) for i, end in enumerate(ends)
        )


mgrid = MeshGrids()


def ds(start: Any, size: Any) -> DynamicSlice:
    """`size` elements from `start`."""
    return DynamicSlice(start, int(size))
