# SPDX-License-Identifier: Apache-2.0
"""Where a checkpoint's rows and columns sit in the packed MX tensors of the kernel.

With p a partition, q = 0..3 the place in a packed element, and tiles h of H and i of I:

    gate and up   [128, 2, H/512, I, q]          position q * (H/4) + h * 128 + p of the hidden dimension
    down          [w, ceil(I/512), H, q]         column i * 512 + q * w_i + p
    bias          [w, 2, ceil(I/512), q]         the same column
    scales        row r of the first dimension covers partitions 8r .. 8r+7 and q = 0..3, one block of 32

w_i is a quarter of the columns of tile i: 128, or less in the last tile, whose other partitions hold zeros; w is the
largest of them. H is padded to a multiple of 512 and I to one of 32, with zeros. The output has its H in natural order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkimoe.arrays import Array
from nkimoe.planning.tiling import ceil_div

PARTITIONS = 128
TILE = 4 * PARTITIONS
BLOCK = 32
RUN = 8  # partitions in a block


@dataclass(frozen=True, eq=False)
class MxLayout:
    """Which row and column of the checkpoint each position holds; -1 is padding.

    Attributes:
        hidden: int [H'], for the hidden dimension of gate and up, and for the kernel's hidden states.
        columns: int [I'], for the columns of gate and up and the rows of down.
        H, I: sizes in the checkpoint.
    """

    hidden: Array
    columns: Array
    H: int
    I: int

    @property
    def padded_H(self) -> int:
        return len(self.hidden)

    @property
    def padded_I(self) -> int:
        return len(self.columns)

    @property
    def H_tiles(self) -> int:
        return self.padded_H // TILE

    @property
    def I_tiles(self) -> int:
        return ceil_div(self.padded_I, TILE)

    @property
    def width(self) -> int:
        """Partitions of the down projection."""
        return min(PARTITIONS, self.padded_I // 4)

    @property
    def tiled_columns(self) -> Array:
        """`columns` at their places [I tile, q, partition], flat; -1 where the last tile is not full."""
        quarters = [tile.reshape(4, -1) for tile in _tiles(self.columns)]
        filled = [np.pad(q, ((0, 0), (0, self.width - q.shape[1])), constant_values=-1) for q in quarters]
        return np.concatenate(filled, axis=None)

    def arrange_gate_up(self, weight: Array) -> Array:
        """[128, 2, H'/512, I', 4] of [H, 2, I]."""
        placed = _place(_place(weight, self.hidden, 0), self.columns, 2)
        return placed.reshape(4, self.H_tiles, PARTITIONS, 2, -1).transpose(2, 3, 1, 4, 0)

    def restore_gate_up(self, arranged: Array) -> Array:
        """[H, 2, I] of [128, 2, H'/512, I', 4]."""
        placed = arranged.transpose(4, 2, 0, 1, 3).reshape(self.padded_H, 2, -1)
        return _fetch(_fetch(placed, self.hidden, 0), self.columns, 2)

    def arrange_down(self, weight: Array) -> Array:
        """[width, I'/512, H', 4] of [I, H]."""
        placed = np.pad(_place(weight, self.tiled_columns, 0), ((0, 0), (0, self.padded_H - self.H)))
        return placed.reshape(self.I_tiles, 4, self.width, -1).transpose(2, 0, 3, 1)

    def restore_down(self, arranged: Array) -> Array:
        """[I, H] of [width, I'/512, H', 4]."""
        placed = arranged.transpose(1, 3, 0, 2).reshape(-1, self.padded_H)
        return _fetch(placed, self.tiled_columns, 0)[:, : self.H]

    def arrange_bias(self, bias: Array) -> Array:
        """[width, 2, I'/512, 4] of [2, I]."""
        placed = _place(bias, self.tiled_columns, 1)
        return placed.reshape(2, self.I_tiles, 4, self.width).transpose(3, 0, 1, 2)

    def restore_bias(self, arranged: Array) -> Array:
        """[2, I] of [width, 2, I'/512, 4]."""
        return _fetch(arranged.transpose(1, 2, 3, 0).reshape(2, -1), self.tiled_columns, 1)

    def arrange_hidden(self, hidden_states: Array) -> Array:
        """[rows, H'], what the kernel takes, of the model's [rows, H]."""
        return _place(hidden_states, self.hidden, 1)


def natural_layout(H: int, I: int) -> MxLayout:
    """Rows and columns in their order, padding at the end."""
    return MxLayout(_padded(np.arange(H), TILE), _padded(np.arange(I), BLOCK), H, I)


def block_layout(H: int, I: int, first_column: int = 0) -> MxLayout:
    """Every 32 consecutive rows (and columns) of the checkpoint are one block of the kernel.

    So a checkpoint that is already in blocks keeps its values and scales bit for bit. The hidden states must be
    brought into the same order (`MxLayout.arrange_hidden`); the columns cost nothing. `first_column` is where this
    rank's I columns start in the checkpoint: blocks cut by that edge keep their scale, and zeros outside.
    """
    columns = np.pad(np.arange(I), (first_column % BLOCK, 0), constant_values=-1)
    # One shape for all ranks, whatever the edge of this one cuts off.
    longest = max(len(columns), I + (BLOCK - 1 if I % BLOCK else 0))
    columns = np.pad(columns, (0, ceil_div(longest, BLOCK) * BLOCK - len(columns)), constant_values=-1)
    quarters = [tile.reshape(-1, 4, RUN).swapaxes(0, 1) for tile in _tiles(columns)]
    rows = _padded(np.arange(H), TILE).reshape(-1, PARTITIONS // RUN, 4, RUN)
    return MxLayout(rows.transpose(2, 0, 1, 3).reshape(-1), np.concatenate(quarters, axis=None), H, I)


def pack_scales(scale: Array) -> Array:
    """Four tiles of scales in one buffer of 128 partitions, as `use_packed_scales` takes them.

    gate and up [E, 16, 2, n, I] -> [E, 128, ceil(n/4), 2, I]; down [E, w/8, n, H] -> [E, 128, ceil(n/4), H]. Row r of
    tile k goes to buffer k // 4, partition 32 * (r // 4) + 4 * (k % 4) + r % 4.
    """
    tiles_second = np.moveaxis(scale, -2, 2)  # [E, rows, n, ...]
    E, rows, n = tiles_second.shape[:3]
    packed = np.zeros((E, PARTITIONS, ceil_div(n, 4), *tiles_second.shape[3:]), scale.dtype)
    r = np.arange(rows)
    for k in range(n):
        packed[:, 32 * (r // 4) + 4 * (k % 4) + r % 4, k // 4] = tiles_second[:, :, k]
    return packed


def unpack_scales(packed: Array, rows: int, n: int) -> Array:
    """What `pack_scales` was given: `rows` rows of each of n tiles."""
    r = np.arange(rows)
    tiles = [packed[:, 32 * (r // 4) + 4 * (k % 4) + r % 4, k // 4] for k in range(n)]
    return np.stack(tiles, axis=-2)


def spread_scales(coarse: Array, rows: int, columns: int) -> Array:
    """A scale for eight packed rows and a column, of one for 32 and 128 (`use_block128_scales`)."""
    return np.repeat(np.repeat(coarse, 4, axis=1)[:, :rows], 128, axis=-1)[..., :columns]


def _tiles(columns: Array) -> list[Array]:
    return [columns[first : first + TILE] for first in range(0, len(columns), TILE)]


def _padded(index: Array, multiple: int) -> Array:
    return np.pad(index, (0, -len(index) % multiple), constant_values=-1)


def _place(values: Array, index: Array, axis: int) -> Array:
    """`values` taken along the axis, zero where the index is -1."""
    placed = np.take(values, index, axis)
    np.moveaxis(placed, axis, 0)[index < 0] = 0
    return placed


def _fetch(placed: Array, index: Array, axis: int) -> Array:
    """What `_place` was given."""
    return np.take(placed, np.argsort(index, kind="stable")[np.count_nonzero(index < 0) :], axis)
