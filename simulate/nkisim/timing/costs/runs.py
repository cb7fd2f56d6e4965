# SPDX-License-Identifier: Apache-2.0
"""Runs of bytes that lie together: what a descriptor of a transfer can say."""

from __future__ import annotations

import math
from dataclasses import replace

from nkisim.memory import Access


def common_run(source: Access, target: Access, packet: int) -> int:
    """Bytes that lie together on both sides, where the two patterns are cut at each other's ends.

    Between HBM and HBM they are cut into packets, which are then dealt out to the engines.
    """
    if not source.storage.buffer.is_on_chip and not target.storage.buffer.is_on_chip:
        return min(row_run(source), row_run(target), packet)
    if source.shape != target.shape and source.dtype.itemsize != target.dtype.itemsize:
        return min(row_run(source), row_run(target))
    return math.gcd(_run(source), _run(target)) * min(source.dtype.itemsize, target.dtype.itemsize)


def hbm_run(source: Access, target: Access, run: int) -> int:
    """Bytes that lie together in HBM, on the side where they are fewer; `run` between tensors on chip."""
    sides = [row_run(a) for a in (source, target) if not a.storage.buffer.is_on_chip]
    return max(run, min(sides, default=run))


def row_run(access: Access) -> int:
    """Bytes of the innermost contiguous run; a run never leaves its partition or its gathered row."""
    return _run(access) * access.dtype.itemsize


def columns_last(access: Access, columns: int) -> Access:
    """What a transpose writes that has its columns first: with them behind, and as many as if none were left out."""
    shape, strides = (*access.shape[1:], columns), (*access.strides[1:], access.strides[0])
    return replace(access, shape=shape, strides=strides, rows=None)


def _run(access: Access) -> int:
    run, dims = 1, list(zip(access.strides, access.shape, strict=True))
    first = 1 if access.storage.buffer.is_on_chip or access.rows is not None else 0
    for stride, count in reversed(dims[first:]):
        if count != 1 and stride != run * access.dtype.itemsize:
            return run
        run *= count
    return run
