# SPDX-License-Identifier: Apache-2.0
"""Rows of a tensor, gathered by token id."""

from __future__ import annotations

import nki.isa as nisa

from nkimoe.kernels.backward.emission import Emission
from nkimoe.kernels.backward.routing import BackwardStep
from nkimoe.kernels.backward.transpose import transpose
from nkimoe.kernels.stages.gather_tokens import TileRing, clear
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.tiling import PARTITIONS, spans


def clear_but_for_a_one(tile: Tensor) -> None:
    """Zero a tile [128, columns + 1] but for its last column."""
    clear(tile[:, : tile.shape[1] - 1])
    nisa.memset(dst=tile[:, tile.shape[1] - 1 :], value=1.0)


class GatheredRows:
    """Rows [T, H] of one part, a tile [128, H] for each 128 slots; `sets` parts have their own tiles.

    Rows of pad slots are those of some token before: what they are multiplied with, the affinity, is zero.
    """

    def __init__(self, tensor: Tensor, tokens: int, token_tiles: int, dtype: DType, sets: int) -> None:
        H = tensor.shape[1]
        self._source, self._H = tensor[0:tokens, :], H
        self._ring = TileRing(sets * token_tiles, (PARTITIONS, H), dtype, clear)
        self._gathered: dict[BackwardStep, list[Tensor]] = {}

    def gather(self, step: BackwardStep | None) -> None:
        """Start loading the rows of a part, unless they are on their way."""
        if step is None or step in self._gathered:
            return
        tiles = self._gathered[step] = [self._ring.take() for _ in range(step.tiles)]
        for tile, ids in zip(tiles, step.ids, strict=True):
            rows = self._source.ap(
                pattern=[[self._H, PARTITIONS], [1, self._H]], vector_offset=ids, indirect_dim=0
            )  # fmt: skip
            nisa.dma_copy(dst=tile[:, 0 : self._H], src=rows, oob_mode=nisa.oob_mode.skip)

    def of(self, step: BackwardStep) -> list[Tensor]:
        """The tiles of a part."""
        return self._gathered.pop(step)


class GatheredRowsAndOnes(GatheredRows):
    """Rows with a one behind them, so that a product with them has a row of plain sums."""

    def __init__(self, tensor: Tensor, tokens: int, token_tiles: int, dtype: DType, sets: int) -> None:
        super().__init__(tensor, tokens, 0, dtype, sets)
        self._ring = TileRing(sets * token_tiles, (PARTITIONS, self._H + 1), dtype, clear_but_for_a_one)


def turn_rows(columns: Tensor, rows: list[Tensor]) -> Emission:
    """columns [128, H/128, tokens] from rows [128, H] of each tile of tokens; column 128k + p goes to partition p."""
    for t, row in enumerate(rows):
        sources = [row[:, k.slice] for k in spans(PARTITIONS * columns.shape[1], PARTITIONS)]
        yield from transpose(columns[:, :, t * PARTITIONS : (t + 1) * PARTITIONS], sources)
