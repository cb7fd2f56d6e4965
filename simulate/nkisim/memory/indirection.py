# SPDX-License-Identifier: Apache-2.0
"""A runtime index in a view's address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, ShapeError
from nkisim.memory.regions import MemoryRegion
from nkisim.memory.registers import RegisterValue


@dataclass(frozen=True)
class Indirection:
    """A runtime index added to a view's address.

    Attributes:
        index: SBUF tensor of indices, or a register.
        stride: elements of storage one step of the index moves.
        extent: number of legal indices: 0 <= index < extent.
        per_partition: one index a partition (gather, scatter) rather than one for the whole access.
    """

    index: Any
    stride: int
    extent: int
    per_partition: bool


@dataclass(frozen=True)
class Columns(Indirection):
    """Columns of a tile at offsets that another tile holds, on NeuronCore-v4.

    Attributes:
        group: partitions that hold one run of offsets: offset i is index[i % group, i // group]. 16 for the compute
            engines, 32 for the Tensor Engine.
        count: how many offsets are used.
    """

    group: int = 16
    count: int = 0


def checked(how: Indirection, buffer: MemoryRegion) -> Indirection:
    """`how`, which must be a legal index into a tensor in `buffer`."""
    if how.per_partition and buffer.is_on_chip:
        raise BufferRuleError("a gather or scatter addresses HBM", f"{buffer.value}", "Index the HBM side.")
    if isinstance(how.index, RegisterValue) and not how.per_partition:
        if buffer.is_on_chip and getattr(how.index, "dtype", "int32") != "int32":
            raise DtypeError("an offset into SBUF or PSUM is an int32 scalar", "int64", "Load it from an int32 tile.")
        return how
    if not hasattr(how.index, "storage"):
        raise ArgumentError(
            "a runtime index is an SBUF tensor, or a register for a single index",
            f"{type(how.index).__name__}",
            "Load the indices into SBUF.",
        )
    index = how.index
    if index.buffer is not MemoryRegion.sbuf:
        raise BufferRuleError("runtime indices are in SBUF", f"{index.buffer.value}", "Load them first.")
    if not index.dtype.is_integer or index.dtype.itemsize != 4:
        raise DtypeError("runtime indices are int32 or uint32", f"{index.dtype}", "Cast them first.")
    if not how.per_partition and index.size != 1:
        raise ShapeError("a scalar runtime index has one element", f"shape {index.shape}", "Slice out one element.")
    return how
