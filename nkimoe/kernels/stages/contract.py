# SPDX-License-Identifier: Apache-2.0
"""Contraction of two operands that lie in tiles of equally many rows, mostly 128."""

from __future__ import annotations

from typing import NamedTuple

import nki.isa as nisa

from nkimoe.kernels.tensor import PerfMode, Tensor
from nkimoe.planning.tiling import PARTITIONS, Span, spans


class Matmul(NamedTuple):
    """One matmul of a contraction: `rows` partitions of the tiles `tiles`."""

    rows: int
    tiles: int | slice
    mode: PerfMode


def contract(dst: Tensor, stationary: Tensor, moving: Tensor, rows: Span, tiles_at_once: int) -> None:
    """dst [M, N] = sum over rows of stationary.T @ moving, from [size, tiles, M] and [size, tiles, N].

    Args:
        rows: the rows the operands hold; what comes before them is in dst already.
        tiles_at_once: 1, or 2 for fp8 operands: the PE takes two rows a partition in the time of one.
    """
    for n, step in enumerate(matmuls(rows.size, tiles_at_once, stationary.shape[0])):
        nisa.nc_matmul(
            dst=dst,
            stationary=stationary[0 : step.rows, step.tiles, :],
            moving=moving[0 : step.rows, step.tiles, :],
            accumulate=rows.start + n > 0,
            perf_mode=step.mode,
        )


def matmuls(rows: int, tiles_at_once: int, size: int = PARTITIONS) -> list[Matmul]:
    """The matmuls of a contraction over `rows` rows in tiles of `size`; whole tiles in pairs if two go at once."""
    tiles = spans(rows, size)
    paired = rows // size // 2 * 2 if tiles_at_once == 2 else 0
    double, single = nisa.matmul_perf_mode.double_row, nisa.matmul_perf_mode.none
    pairs = [Matmul(size, slice(k, k + 2), double) for k in range(0, paired, 2)]
    return [*pairs, *(Matmul(tiles[k].size, k, single) for k in range(paired, len(tiles)))]
