# SPDX-License-Identifier: Apache-2.0
"""Routing tables that lie in HBM as they do on chip."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.load_routing import Routing
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS


class TurnedRouting(Routing):
    """Tables [128, blocks * tiles]: what a last tile has beyond its block is never read.

    A table [N * B] comes slot by slot, a descriptor of 4 bytes each: 0.3 us a block, before the first row is gathered.
    """

    def _table(self, first: int, n: int, source: Tensor, pad: int) -> Tensor:
        blocks, tiles, per_partition = self._blocks, self._problem.tiles_per_block, int(source.shape[1])
        table: Tensor = nl.ndarray((PARTITIONS, n * tiles), dtype=source.dtype, buffer=nl.sbuf)
        pattern = [[per_partition, PARTITIONS], [blocks.step * tiles, n], [1, tiles]]
        own = source.ap(pattern=pattern, offset=blocks.block(first) * tiles)
        nisa.dma_copy(dst=table.reshape((PARTITIONS, n, tiles)), src=own)
        return table
