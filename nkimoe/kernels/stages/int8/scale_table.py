# SPDX-License-Identifier: Apache-2.0
"""The scales of all tokens on chip, where slots look theirs up.

Software describes a gather, on GpSimd: a descriptor moves 2 KiB, and a row of codes with its scale behind it is often a
little longer. What is looked up on chip needs no descriptor, and comes as it is multiplied: along columns.
"""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS, ceil_div

GROUP = 16  # partitions that share a list of indices, which runs down them first
GROUPS = PARTITIONS // GROUP


class ScaleTable:
    """fp32 [128, tokens], the same on all partitions.

    A slot's index has to lie on partition slot % 16 of each group; ids come with slot % 128. A matmul moves them: ids
    [128, tiles], each in one of eight columns, that of its group, are added up over partitions that have the same place
    in theirs. All other addends are zero.

    Args:
        scales: fp32 [tokens, 1] in HBM.
        tiles: of 128 slots, of a part.
    """

    def __init__(self, scales: Tensor, tiles: int) -> None:
        tokens = scales.shape[0]
        self._table: Tensor = nl.ndarray((PARTITIONS, tokens), dtype=nl.float32, buffer=nl.sbuf)
        # Scales lie in rows: they are brought together once, and not by each partition.
        together = nl.ndarray((tokens, 1), dtype=nl.float32, buffer=nl.private_hbm)
        nisa.dma_copy(dst=together, src=scales)
        nisa.dma_copy(dst=self._table, src=together.ap(pattern=[[0, PARTITIONS], [1, tokens]]))
        self._indices: Tensor = nl.ndarray((PARTITIONS, tiles * GROUPS), dtype=nl.uint16, buffer=nl.sbuf)
        self._group, self._same_place = _places()

    def name(self, part: Part) -> None:
        """The next slots that look up scales are those of this part; pads look up any."""
        ids = part.block.ids[:, part.tiles.slice]
        tiles = ids.shape[1]
        placed = nl.ndarray((PARTITIONS, tiles, GROUPS), dtype=nl.float32, buffer=nl.sbuf)
        each, group = ids.expand_dim(2).broadcast(2, GROUPS), self._group.expand_dim(1).broadcast(1, tiles)
        nisa.tensor_tensor(dst=placed, data1=each, data2=group, op=nl.multiply, engine=nisa.engine.gpsimd)
        moved = nl.ndarray((PARTITIONS, tiles * GROUPS), dtype=nl.float32, buffer=nl.psum)
        moving = placed.reshape((PARTITIONS, tiles * GROUPS))
        nisa.nc_matmul(dst=moved, stationary=self._same_place, moving=moving)
        nisa.tensor_copy(dst=self._indices[:, 0 : tiles * GROUPS], src=moved, engine=nisa.engine.scalar)

    def look_up(self, dst: Tensor) -> None:
        """dst, fp32 [128, slots], becomes the scales of the slots that were named."""
        slots = dst.shape[1]
        index = self._indices[:, 0 : ceil_div(slots, GROUP)]
        nisa.local_gather(dst=dst, src_buffer=self._table, index=index, num_valid_indices=slots)


def _places() -> tuple[Tensor, Tensor]:
    """fp32 [128, 8], 1 where a partition is of a group; [128, 128], 1 where both have the same place in theirs."""
    identity: Tensor = nl.shared_identity_matrix(PARTITIONS, dtype=nl.float32)
    by_group = identity.reshape((PARTITIONS, GROUPS, GROUP))
    group: Tensor = nl.ndarray((PARTITIONS, GROUPS), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=group, op=nl.add, data=by_group, axis=2)
    place: Tensor = nl.ndarray((PARTITIONS, GROUP), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=place, op=nl.add, data=by_group.permute((0, 2, 1)), axis=2)
    same_place: Tensor = nl.ndarray((PARTITIONS, GROUPS, GROUP), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=same_place, src=place.expand_dim(1).broadcast(1, GROUPS))
    return group, same_place.reshape((PARTITIONS, PARTITIONS))
