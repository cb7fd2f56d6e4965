# SPDX-License-Identifier: Apache-2.0
"""What the MX matmul takes: packed elements with their scales."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.tensor import DType, Index, Shape, Tensor
from nkimoe.planning.mx.tiling import BLOCK, QUARTERS
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, QUADRANT, ceil_div

ONE = 127  # the scale code of 2**0: e8m0 is biased by it
BLOCK_ROWS = BLOCK // QUARTERS  # packed rows that share a scale
SCALE_ROWS = QUADRANT // BLOCK_ROWS  # rows of a quadrant that hold the scales of its packed rows
DOWN_COLUMNS = 2 * PSUM_COLUMNS  # of the moving operand in one down product: half as many passes to get it out of PSUM


class MxOperand(NamedTuple):
    """Packed elements [rows, ...] and scale codes [rows, ...]; of those, four rows of each quadrant count."""

    data: Tensor
    scale: Tensor

    def part(self, *index: Index) -> MxOperand:
        """The same part of both."""
        return MxOperand(self.data[index], self.scale[index])


class TokenOperand(Protocol):
    """Tokens with H on partitions, whichever way their scales lie."""

    @property
    def data(self) -> Tensor:
        """[128, H/512, tokens]."""
        ...

    def part(self, rows: slice, h: int, tokens: slice, /) -> MxOperand:
        """Tile h of H."""
        ...


def multiply(dst: Tensor, stationary: MxOperand, moving: MxOperand, step: int) -> None:
    """dst (+)= stationary.T @ moving; step 0 starts the sum."""
    nisa.nc_matmul_mx(
        dst=dst,
        stationary=stationary.data,
        moving=moving.data,
        stationary_scale=stationary.scale,
        moving_scale=moving.scale,
        accumulate=step > 0,
    )


def cleared(shape: Shape, dtype: DType) -> Tensor:
    """A tile of zeros of a type of one byte, cleared four at a time; the last size is a multiple of 4."""
    tile: Tensor = nl.ndarray((*shape[:-1], shape[-1] // 4), dtype=nl.int32, buffer=nl.sbuf)
    nisa.memset(dst=tile, value=0)
    return tile.view(dtype)


def unit_scales(columns: int) -> Tensor:
    """[128, columns] scale codes of 1."""
    tile: Tensor = nl.ndarray((PARTITIONS, columns), dtype=nl.uint8, buffer=nl.sbuf)
    nisa.memset(dst=tile, value=ONE)
    return tile


def scale_runs(first: int, rows: int, of_a_quadrant: int) -> list[tuple[int, int, int]]:
    """(row, partition, rows): scale rows `first` .. in runs that stay together where they come from and go to.

    Args:
        first: packed row of the first scale, a multiple of BLOCK_ROWS; that goes to partition 0, the fifth one to 32.
        rows: packed rows.
        of_a_quadrant: scale rows that lie together at the source: 4, or more for no limit.

    >>> scale_runs(0, 96, 16)
    [(0, 0, 4), (4, 32, 4), (8, 64, 4)]
    >>> scale_runs(16, 32, 4)
    [(2, 0, 2), (4, 2, 2)]
    """
    at, end, runs = first // BLOCK_ROWS, ceil_div(first + rows, BLOCK_ROWS), []
    start = at
    while at < end:
        there = at - start
        count = min(end - at, SCALE_ROWS - there % SCALE_ROWS, of_a_quadrant - at % of_a_quadrant)
        runs.append((at, there // SCALE_ROWS * QUADRANT + there % SCALE_ROWS, count))
        at += count
    return runs
