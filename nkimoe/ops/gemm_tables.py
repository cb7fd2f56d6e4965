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


def gemm_tables(slots: SlotsOfPairs, block_size: int, pairs: int) -> tuple[Any, Any, Any, Any]:
    """(tokens, positions, weights, block_to_expert), as `GemmRequest` has them."""
    padded = (slots.tokens, -1), (slots.positions, pairs), (slots.weights, 0)
    tokens, positions, weights = (by_partition(table, block_size, pad) for table, pad in padded)
    return tokens, positions, weights, slots.block_to_expert


def by_partition(table: Any, block_size: int, pad: int) -> Any:
    """[128, N * tiles] of a NumPy or torch table [N * B]: slot s of a block is in row s % 128 of its tile s // 128.

    Args:
        pad: of the slots that the last tile of a block has beyond the block.

    >>> by_partition(np.arange(6), 3, -1)[:4].tolist()
    [[0, 3], [1, 4], [2, 5], [-1, -1]]
    """
    blocks, missing = table.reshape(-1, block_size), -block_size % PARTITIONS
    if is_torch(table):
        from torch.nn.functional import pad as padded

        tiles = padded(blocks, (0, missing), value=pad).reshape(-1, PARTITIONS)
        return tiles.T.contiguous()
    return np.pad(blocks, ((0, 0), (0, missing)), constant_values=pad).reshape(-1, PARTITIONS).T.copy()
