# SPDX-License-Identifier: Apache-2.0
"""Tables of slots in the order in which a grouped GEMM has them on chip: a partition's part is one run of HBM."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from nkimoe.planning.tiling import PARTITIONS
from nkimoe.weights.host_array import is_torch


class SlotsOfPairs(Protocol):
    """Tables [N * B] and [N], as `PairBlocks` documents them."""

    @property
    def tokens(self) -> Any: ...

    @property
    def positions(self) -> Any: ...

    @property
    def weights(self) -> Any: ...

    @property
    def block_to_expert(self) -> Any: ...


def gemm_tables(slots: SlotsOfPairs, block_size: int) -> tuple[Any, Any, Any, Any]:
    """(tokens, positions, weights, block_to_expert), as `GemmRequest` has them."""
    each = slots.tokens, slots.positions, slots.weights
    tokens, positions, weights = (by_partition(table, block_size) for table in each)
    return tokens, positions, weights, slots.block_to_expert


def by_partition(table: Any, block_size: int) -> Any:
    """[128, N * tiles] of a NumPy or torch table [N * B]: slot s of a block is in row s % 128 of its tile s // 128.
    What a last tile has beyond its block is 0, and nobody reads it.

    >>> by_partition(np.arange(6), 3)[:4].tolist()
    [[0, 3], [1, 4], [2, 5], [0, 0]]
    """
    blocks, missing = table.reshape(-1, block_size), -block_size % PARTITIONS
    if is_torch(table):
        from torch.nn.functional import pad

        tiles = pad(blocks, (0, missing)).reshape(-1, PARTITIONS)
        return tiles.T.contiguous()
    return np.pad(blocks, ((0, 0), (0, missing))).reshape(-1, PARTITIONS).T.copy()
