# SPDX-License-Identifier: Apache-2.0
"""A matrix of expert weights in SBUF, cut into pieces, each replaced as soon as its last use is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from nkimoe.kernels.stages.expert_vectors import Vectors
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.tensor import IndexTile
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div

Place = TypeVar("Place")
Tile = TypeVar("Tile")
DownPlace = TypeVar("DownPlace")
DownTile = TypeVar("DownTile")
LoadPiece = Callable[[Tile, IndexTile, Place], None]
"""(tile, expert, piece): start a transfer; an expert of E transfers nothing."""


class MatrixPiece(NamedTuple):
    """A rectangle of a matrix: rows are contracted over, columns are of the result. Row 0 of it is on partition 0."""

    rows: Span
    columns: Span

    @property
    def tiles(self) -> int:
        """Tiles of 128 rows."""
        return ceil_div(self.rows.size, PARTITIONS)


class Pieces(Generic[Place, Tile]):
    """Pieces that take turns in a number of tiles, and the vectors that come with the matrix.

    With a tile for each piece the expert stays: a following part of the same expert finds its weights in place, and a
    following block loads them under `expert_to_load`, which skips an expert that is there already. With fewer tiles
    every part loads all pieces. In both cases the load that replaces a piece is issued right after the piece was used,
    so that it runs while the rest of the part computes.

    Attributes:
        pieces: in the order of use; each says which part of the matrix it is.
        vectors: replaced behind the last piece.
    """

    def __init__(self, pieces: Sequence[Place], tiles: list[Tile], load: LoadPiece[Tile, Place]) -> None:
        self.pieces, self.vectors, self._tiles, self._load = pieces, Vectors(), tiles, load

    def fill(self, part: Part) -> None:
        """Load the pieces that the first part uses first."""
        for tile, piece in zip(self._tiles, self.pieces, strict=False):
            self._load(tile, part.block.expert, piece)

    def visit(self, now: Part, following: Part | None) -> Iterator[tuple[Place, Tile]]:
        """Give (piece, tile) for each piece. What was used is replaced behind the visitor."""
        yield from self._visit(now, following)
        self.vectors.replace(following)

    def _visit(self, now: Part, following: Part | None) -> Iterator[tuple[Place, Tile]]:
        """Likewise, without the vectors."""
        for i, piece in enumerate(self.pieces):
            yield piece, self.tile_of(i)
            self.refill(i, now, following)

    def tile_of(self, i: int) -> Tile:
        """Where piece i lies; others take turns with it."""
        return self._tiles[i % len(self._tiles)]

    def refill(self, i: int, now: Part, following: Part | None) -> None:
        """Load what comes into the tile of piece i behind it."""
        tile, room, ahead = self.tile_of(i), len(self._tiles), i + len(self._tiles)
        if ahead < len(self.pieces):
            self._load(tile, now.block.expert, self.pieces[ahead])
        elif following is None:
            return
        elif room == len(self.pieces):
            if following.opens_block:
                self._load(tile, following.block.expert_to_load, self.pieces[i])
        else:
            self._load(tile, following.block.expert, self.pieces[i % room])


class PiecesInTurn(Pieces[Place, Tile]):
    """Whole experts in two sets of tiles that blocks use in turn: those of the next block come while this one's are
    used. A block finds in place what the one before the last has left there, if that had its expert.

    Args:
        tiles: of both sets.
    """

    def __init__(self, pieces: Sequence[Place], tiles: list[Tile], load: LoadPiece[Tile, Place]) -> None:
        super().__init__(pieces, tiles[: len(pieces)], load)
        self._others = tiles[len(pieces) :]

    def _visit(self, now: Part, following: Part | None) -> Iterator[tuple[Place, Tile]]:
        if following is not None and following.opens_block:
            for tile, piece in zip(self._others, self.pieces, strict=True):
                self._load(tile, following.block.expert_to_load_in_turn, piece)
        yield from zip(self.pieces, self._tiles, strict=True)
        if following is not None and following.opens_block:
            self._tiles, self._others = self._others, self._tiles


def fill(gate_up: Pieces[Place, Tile], down: Pieces[DownPlace, DownTile], part: Part) -> None:
    """Load what the first part of a core needs: small tensors before large ones."""
    gate_up.vectors.fill(part)
    down.vectors.fill(part)
    gate_up.fill(part)
    down.fill(part)
    gate_up.vectors.derive()
    down.vectors.derive()
