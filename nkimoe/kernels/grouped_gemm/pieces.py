# SPDX-License-Identifier: Apache-2.0
"""Pieces of a tensor [E, pieces, partitions, ...] of all experts: room, and how they come."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.expert_vectors import Vectors
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.weight_pieces import MatrixPiece, Pieces
from nkimoe.kernels.tensor import IndexTile, Tensor
from nkimoe.planning.grouped_gemm.plan import GemmPlan

Tile = TypeVar("Tile")


class PassPieces(Generic[Tile]):
    """The pieces of one pass, and what comes with them; numerics add how they are multiplied."""

    def __init__(self, plan: GemmPlan, pieces: Pieces[MatrixPiece, Tile]) -> None:
        self._plan, self._pieces = plan, pieces

    @property
    def vectors(self) -> Vectors:
        """What comes with the pieces."""
        return self._pieces.vectors

    def fill(self, part: Part) -> None:
        """Load what the first part needs."""
        self.vectors.fill(part)
        self._pieces.fill(part)


def room_like(tensor: Tensor, count: int) -> list[Tensor]:
    """Tiles for `count` pieces."""
    return [nl.ndarray(tuple(tensor.shape[2:]), dtype=tensor.dtype, buffer=nl.sbuf) for _ in range(count)]


def load_piece(tensor: Tensor, tile: Tensor, expert: IndexTile, piece: MatrixPiece) -> None:
    """A piece is one run of HBM, and of each partition."""
    partitions, per_partition = tile.shape[0], math.prod(tile.shape[1:])
    source = tensor.ap(
        pattern=[[per_partition, partitions], [1, per_partition]],
        offset=piece.columns.start // piece.columns.size * partitions * per_partition,
        scalar_offset=expert[0:1, :],
        indirect_dim=0,
    )
    nisa.dma_copy(dst=tile.reshape((partitions, per_partition)), src=source, oob_mode=nisa.oob_mode.skip)
