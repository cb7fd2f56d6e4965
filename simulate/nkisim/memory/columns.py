# SPDX-License-Identifier: Apache-2.0
"""Indirect views of on-chip tiles: columns at runtime offsets, the engines' gather and scatter on NeuronCore-v4."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, NotSimulated, OutOfBounds, ShapeError
from nkisim.memory.indirection import Columns
from nkisim.memory.regions import MemoryRegion
from nkisim.memory.storage_view import StorageView
from nkisim.memory.views import Layout, merge

Viewed = TypeVar("Viewed", bound=StorageView)


def indirect(tensor: Viewed, index: StorageView, num_elem: int | None) -> Viewed:
    """`num_elem` columns of `tensor`, its free dimensions taken as one; see `NkiTensor.indirect`."""
    if not tensor.buffer.is_on_chip or tensor.is_indirect():
        raise BufferRuleError(
            ".indirect() is for direct views of SBUF and PSUM tiles",
            tensor.described,
            "Gather HBM rows with dma_copy.",
        )
    if getattr(index, "buffer", None) is not MemoryRegion.sbuf or index.is_indirect():
        raise BufferRuleError("the offsets of .indirect() are an SBUF tile", f"{index!r}", "Load them first.")
    if not index.dtype.is_integer:
        raise DtypeError("the offsets of .indirect() are integers", f"{index.dtype}", "Cast them first.")
    if len(index.shape) != 2 or index.shape[0] != tensor.shape[0]:
        raise ShapeError(
            "the offsets of .indirect() are [partitions of the tile, K]", f"{index.shape} for {tensor.shape}", "Slice."
        )
    flat = merge(tensor.layout, 1, tensor.ndim - 1)
    if flat is None:
        raise ShapeError("the free dimensions of an indirect tile are one", tensor.described, "Slice one of them.")
    count = index.size if num_elem is None else num_elem
    if not isinstance(count, int) or count < 1:
        raise ArgumentError("num_elem is a positive int", f"{num_elem!r}", "Pass the number of offsets.")
    how = Columns(index, flat.strides[1], flat.shape[1], False, count=count)
    layout = Layout((flat.shape[0], count), flat.strides, flat.offset)
    return type(tensor)(tensor.storage, tensor.block, layout, tensor.dtype, how)


def grouped(tensor: Viewed, group: int) -> Viewed:
    """`tensor` as an engine sees it that reads offsets from `group` partitions; other views unchanged.

    Raises:
        ShapeError: the index holds fewer offsets than the view uses.
    """
    how = tensor.indirection
    if not isinstance(how, Columns):
        return tensor
    rows, width = how.index.shape
    needed = -(-how.count // group)
    if needed > width or min(how.count, group) > rows:
        raise ShapeError(
            f"offset i of .indirect() is index[i % {group}, i // {group}]",
            f"{how.count} offsets in an index of shape {(rows, width)}",
            "Pass num_elem, or a larger index.",
        )
    fitted = dataclasses.replace(how, group=group, index=how.index[:, 0:needed])
    return type(tensor)(tensor.storage, tensor.block, tensor.layout, tensor.dtype, fitted)


def offsets(how: Columns, values: Array) -> Array:
    """The offsets among the values [P, K] of the index.

    Raises:
        NotSimulated: another group of partitions holds other offsets.
        OutOfBounds: one is outside the tile.
    """
    first = values[: how.group].T.reshape(-1)[: how.count].astype(np.int64)
    for start in range(how.group, values.shape[0], how.group):
        other = values[start : start + how.group].T.reshape(-1)[: how.count]
        if len(other) == len(first) and not np.array_equal(other, first):
            raise NotSimulated(
                "every group of partitions holds the same offsets: whether each follows its own is not documented",
                f"other offsets from partition {start} on",
                f"Repeat the offsets every {how.group} partitions.",
            )
    bad = np.flatnonzero((first < 0) | (first >= how.extent))
    if bad.size:
        raise OutOfBounds(
            f"an offset of .indirect() is in 0..{how.extent - 1}", f"{first[bad[0]]} at {bad[0]}", "Fix the offsets."
        )
    return first
