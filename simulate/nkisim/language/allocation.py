# SPDX-License-Identifier: Apache-2.0
"""Creating tensors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nkisim.dtypes import DTYPES, convert, dtype_of
from nkisim.errors import (
    ArgumentError,
    DtypeError,
    PartitionError,
    PsumBankError,
    ShapeError,
    kernel_location,
)
from nkisim.execution.neuron_core import NeuronCore, current_core
from nkisim.instructions.dma_copy import dma_copy
from nkisim.instructions.memset import memset
from nkisim.memory import MemoryRegion, NkiTensor, Storage, allocate, wrap_host_array
from nkisim.memory.block import MemoryBlock
from nkisim.memory.views import Layout, row_major


class PartitionSize(int):
    """A size that names the partition dimension, as `nl.par_dim` of NKI 0.1 did wherever it stood."""


_USE_ONE = f"Use one of {', '.join(DTYPES)}."


def ndarray(
    shape: Any,
    dtype: Any,
    buffer: Any = MemoryRegion.sbuf,
    name: str = "",
    address: tuple[int, int] | None = None,
) -> NkiTensor:
    """An uninitialised tensor. `address` is (partition, byte) for on-chip tensors.

    shape has the partitions first on chip, at most 128. buffer is a memory, SBUF by default; name stands in errors and
    traces. dtype is a data type of nl, its name, or NumPy's.

    Raises:
        ShapeError, DtypeError, PartitionError, PsumBankError: the tensor cannot exist.
    """
    core = current_core()
    sizes, kind, region = _shape(shape), _dtype(dtype), MemoryRegion(getattr(buffer, "value", buffer))
    if region.is_on_chip:
        _check_partition(shape)
        _check_on_chip(core, sizes, kind.itemsize, region, address)
    elif address is not None:
        raise ArgumentError("addresses are for on-chip tensors", f"{region.value} at {address}", "Drop address=.")
    core.name(name, "tensor")

    def make() -> tuple[Storage, MemoryBlock]:
        arena = core.arena(region) if address is not None else None
        return allocate(sizes, kind, region, name, core.identity, arena, address)

    storage, block = _shared(core, sizes, str(kind), make) if region is MemoryRegion.shared_hbm else make()
    tensor = NkiTensor(storage, block, Layout(sizes, row_major(sizes), 0), kind)
    if name and core.watch.taps is not None:
        core.watch.taps.watch(tensor)
    return tensor


def _shared(
    core: NeuronCore,
    shape: tuple[int, ...],
    dtype: str,
    make: Callable[[], tuple[Storage, MemoryBlock]],
    content: str = "",
) -> tuple[Storage, MemoryBlock]:
    """The tensor that both cores share; what is traced and not executed stays out of their count."""
    if core.only_traces:
        return make()
    storage, block = core.shared.allocate(core.identity, shape, dtype, make, kernel_location(), content)
    core.adopt(storage)
    return storage, block


def _shape(shape: Any) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if not sizes or not all(isinstance(n, (int, np.integer)) and n > 0 for n in sizes):
        raise ShapeError("a shape is positive Python ints", f"{shape!r}", "Compute it from constants.")
    return tuple(int(n) for n in sizes)


def _check_partition(shape: Any) -> None:
    if not isinstance(shape, int) and any(isinstance(n, PartitionSize) for n in tuple(shape)[1:]):
        raise ShapeError(
            "dimension 0 of an on-chip tensor is the partition",
            f"{tuple(shape)}, which names another",
            "Put it first, and the dimensions before it behind it or into a list of tiles.",
        )


def _dtype(dtype: Any) -> Any:
    try:
        return dtype_of(dtype)
    except TypeError:
        raise DtypeError("tensors have an NKI data type", f"{dtype!r}", _USE_ONE) from None


def _check_on_chip(
    core: NeuronCore,
    sizes: tuple[int, ...],
    itemsize: int,
    region: MemoryRegion,
    address: tuple[int, int] | None,
) -> None:
    machine = core.machine
    if len(sizes) < 2:
        raise ShapeError("on-chip tensors have at least two dimensions", f"{sizes}", "Add a free dimension of 1.")
    if sizes[0] > machine.partitions:
        raise PartitionError(
            f"dimension 0 of an on-chip tensor is at most {machine.partitions} partitions",
            f"{sizes}",
            "Split the tensor, or move the tile index to a free dimension.",
        )
    psum = machine.psum_bank_bytes * machine.psum_banks
    capacity = psum if region is MemoryRegion.psum else machine.sbuf_usable_bytes
    size = math.prod(sizes[1:]) * itemsize
    partition, byte = address or (0, 0)
    if min(partition, byte) < 0 or byte + size > capacity or partition + sizes[0] > machine.partitions:
        raise ShapeError(
            f"an on-chip tensor fits in {capacity} bytes of {machine.partitions} partitions",
            f"{size} bytes x {sizes[0]} partitions at {address or 'any address'}",
            "Tile the free dimension.",
        )
    bank = machine.psum_bank_bytes
    if region is MemoryRegion.psum and address and byte % bank and byte // bank != (byte + size - 1) // bank:
        raise PsumBankError(
            "a PSUM tensor larger than the rest of its bank starts at a bank",
            f"byte {byte}, {size} bytes",
            "Align it.",
        )


def full(shape: Any, fill_value: float, dtype: Any, buffer: Any = MemoryRegion.sbuf, name: str = "") -> NkiTensor:
    """A tensor filled with a constant, fill_value rounded to dtype.

    shape has the partitions first on chip, at most 128. buffer is a memory, SBUF by default; name stands in errors and
    traces.

    Raises:
        ShapeError, DtypeError, PartitionError, PsumBankError: the tensor cannot exist.
    """
    tensor = ndarray(shape, dtype, buffer, name)
    if tensor.buffer.is_on_chip:
        memset(tensor, fill_value)
        return tensor
    rows = tensor.reshape((1, tensor.size))
    step = 16384
    tile = ndarray((1, min(step, tensor.size)), dtype)
    memset(tile, fill_value)
    for start in range(0, tensor.size, step):
        count = min(step, tensor.size - start)
        dma_copy(rows[:, start : start + count], tile[:, 0:count])
    return tensor


def zeros(shape: Any, dtype: Any, buffer: Any = MemoryRegion.sbuf, name: str = "") -> NkiTensor:
    """A tensor of zeros in dtype.

    shape has the partitions first on chip, at most 128. buffer is a memory, SBUF by default; name stands in errors and
    traces.

    Raises:
        ShapeError, DtypeError, PartitionError, PsumBankError: the tensor cannot exist.
    """
    return full(shape, 0, dtype, buffer, name)


def ones(shape: Any, dtype: Any, buffer: Any = MemoryRegion.sbuf, name: str = "") -> NkiTensor:
    """A tensor of ones in dtype.

    shape has the partitions first on chip, at most 128. buffer is a memory, SBUF by default; name stands in errors and
    traces.

    Raises:
        ShapeError, DtypeError, PartitionError, PsumBankError: the tensor cannot exist.
    """
    return full(shape, 1, dtype, buffer, name)


def zeros_like(x: NkiTensor, dtype: Any = None, buffer: Any = None, name: str = "") -> NkiTensor:
    """Zeros with the shape, and unless given the dtype and buffer, of `x`.

    name stands in errors and traces.

    Raises:
        ShapeError, DtypeError, PartitionError, PsumBankError: the tensor cannot exist.
    """
    return zeros(x.shape, dtype or x.dtype, buffer or x.buffer, name)


def shared_constant(constant: Any) -> NkiTensor:
    """A NumPy array (or .npy file) `constant`, of any shape, as a tensor in shared HBM, loaded before the kernel
    starts.

    Raises:
        DtypeError: NKI has no such data type.
    """
    array = np.load(constant) if isinstance(constant, str) else np.array(constant, order="C")
    try:
        kind = dtype_of(array.dtype)
    except TypeError:
        raise DtypeError("constants have an NKI data type", f"{array.dtype}", _USE_ONE) from None
    core = current_core()

    def make() -> tuple[Storage, MemoryBlock]:
        return wrap_host_array(array, kind, "constant", None)

    content = hashlib.sha256(array.tobytes()).hexdigest()
    storage, block = _shared(core, array.shape, str(array.dtype), make, content)
    return NkiTensor(storage, block, Layout(array.shape, row_major(array.shape), 0), kind)


def shared_identity_matrix(n: int, dtype: Any = "uint8", dst: NkiTensor | None = None) -> NkiTensor:
    """An n x n identity matrix in SBUF, loaded from a constant.

    n is at most 128. It is a new tile of dtype, or dst [n, n], if that is given.

    Raises:
        DtypeError, PartitionError, ShapeError: there is no such tile.
    """
    kind = _dtype(dtype)
    constant = shared_constant(convert(np.eye(n, dtype=np.float32), kind))
    tile = dst if dst is not None else ndarray((n, n), kind)
    dma_copy(tile, constant)
    return tile
