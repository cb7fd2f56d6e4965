# SPDX-License-Identifier: Apache-2.0
"""Tiles of the PE array: a part of its rows and columns that one matmul uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nkisim.errors import ArgumentError, NotSimulated, ShapeError
from nkisim.operations import checks
from nkisim.operations.enums import matmul_perf_mode as PerfMode

_SIZES = (32, 64, 128)


def check_tiling(
    position: Any, size: Any, k: int, m: int, perf_mode: PerfMode = PerfMode.none, rows_only: bool = False
) -> Mapping[str, Any]:
    """The tile a matmul of K rows and M columns asks for, as details of its event; none without tiling.

    Raises:
        ArgumentError: there is no such tile.
        ShapeError: the stationary operand does not fit into it.
        NotSimulated: only one of the two is given.
    """
    if not position and not size:
        return {}
    if not position or not size:
        raise NotSimulated(
            "tiling takes tile_position and tile_size", f"tile {position} {size}", "Pass both, or neither."
        )
    position, size = tuple(int(p) for p in position), tuple(int(s) for s in size)
    _check_tile(position, size, rows_only)
    if perf_mode is PerfMode.double_row and size[1] < 128:
        raise ArgumentError("double_row does not go with column tiles", f"tile_size {size}", "Use 128 columns.")
    for what, used, limit in (("partitions", k, size[0]), ("columns", m, size[1])):
        if used > limit:
            raise ShapeError(
                f"stationary has at most the {limit} {what} of its tile", f"{used}", "Use a larger tile_size."
            )
    return {"tile_position": position, "tile_size": size}


def _check_tile(position: tuple[int, ...], size: tuple[int, ...], rows_only: bool) -> None:
    if len(position) != 2 or len(size) != 2 or any(s not in _SIZES for s in size):
        raise ArgumentError(
            "a tile has a start (row, column) and a size of 32, 64 or 128 rows and columns",
            f"{position} {size}",
            "Use tile_size=(64, 128), for example.",
        )
    if 32 in size:
        checks.generation(3, "a PE tile of 32")
    if rows_only and (position[1] != 0 or size[1] != 128):
        raise ArgumentError("an MX matmul is tiled by rows only", f"{position} {size}", "Use all 128 columns.")
    if any(p % s or not 0 <= p < 128 for p, s in zip(position, size, strict=True)):
        raise ArgumentError(
            "a tile starts at a multiple of its size, inside the 128x128 array", f"{position} {size}", "Move it."
        )
