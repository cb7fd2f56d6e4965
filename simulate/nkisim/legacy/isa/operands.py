# SPDX-License-Identifier: Apache-2.0
"""Operands brought where an instruction reads them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError
from nkisim.legacy.indices import steps_of
from nkisim.legacy.issue import issue, result_of
from nkisim.legacy.moving import put
from nkisim.legacy.programs import without_time
from nkisim.legacy.tile import Tile
from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.nki import isa as core


def tile(x: Any, operand: str = "data") -> Tile:
    """`x`, which must be a tile on chip; an index tensor becomes one.

    Raises:
        ArgumentError: it is something else.
    """
    if isinstance(x, np.ndarray):
        return from_indices(x, "int32")
    if not isinstance(x, Tile) or not x.buffer.is_on_chip:
        raise ArgumentError(f"{operand} is a tile in SBUF or PSUM", f"{x!r}", "Bring it on chip with nl.load.")
    return x


def copied(x: Tile, dtype: Any = None, mask: Any = None) -> Tile:
    """A copy in SBUF."""
    return result_of(core.tensor_copy, x.shape, dtype or x.dtype, [x], mask)


def in_sbuf(x: Any) -> Tile:
    """The tile, copied if it is in PSUM."""
    given = tile(x)
    return given if given.buffer is MemoryRegion.sbuf else copied(given)


def column(x: Any) -> Any:
    """A number, or a float32 tile [partitions, 1]."""
    if not isinstance(x, Tile):
        return x.item() if isinstance(x, np.ndarray) and x.size == 1 else x
    return x if x.dtype == "float32" else copied(x, "float32")


def from_indices(index: Any, dtype: Any) -> Tile:
    """A tile that holds an index tensor: one instruction where it advances evenly."""
    given = index.reshape(-1, 1) if index.ndim < 2 else index
    even = steps_of(given)
    if even is not None:
        start, steps = even
        pattern = [[step, size] for step, size in zip(steps[1:], given.shape[1:], strict=True)]

        def run(dst: NkiTensor) -> None:
            core.iota(dst, pattern, offset=start, channel_multiplier=steps[0])

        return result_of(run, given.shape, dtype, [])
    without_time()
    made = result_of(lambda dst: None, given.shape, dtype, [])
    put(made.home, made.spread, given.astype(np.float64))
    return made


def write_into(dst: Tile, x: Tile, mask: Any = None) -> None:
    """Copy a tile into a view on chip."""
    issue(core.tensor_copy, dst, [x], mask)
