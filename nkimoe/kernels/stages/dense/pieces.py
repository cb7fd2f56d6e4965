"""A matrix of expert weights in SBUF, cut into pieces, each replaced as soon as its last use is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from nkimoe.kernels.stages.load_routing import Part
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div


class Piece(NamedTuple):
    """A rectangle of a matrix: rows are contracted over, columns are of the result. Row 0 of it is on partition 0."""

    rows: Span
    columns: Span

    @property
    def tiles(self) -> int:
        """Tiles of 128 rows."""
        return ceil_div(self.rows.size, PARTITIONS)


Load = Callable[[Any, Any, Any], None]
"""(tile, [1, 1] index tile of the expert, piece): start a transfer; an index of E transfers nothing."""


class Pieces:
    """Pieces that take turns in a number of tiles.

    With a tile for each piece the expert stays: a following part of the same expert finds its weights in place, and a
    following block loads them under `expert_to_load`, which skips an expert that is there already. With fewer tiles
    every part loads all pieces. In both cases the load that replaces a piece is issued right after the piece was used,
    so that it runs while the rest of the part computes.

    Attributes:
        pieces: in the order of use; each a Piece, or what `load` takes instead.
    """

    def __init__(self, pieces: Sequence[Any], tiles: list[Any], load: Load) -> None:
        self.pieces, self._tiles, self._load = pieces, tiles, load

    def fill(self, part: Part) -> None:
        """Load the pieces that the first part uses first."""
        for tile, piece in zip(self._tiles, self.pieces, strict=False):
            self._load(tile, part.block.expert, piece)

    def visit(self, now: Part, following: Part | None) -> Iterator[tuple[Any, Any]]:
        """Give (piece, tile) for each piece, and refill tiles behind the visitor."""
        for i, piece in enumerate(self.pieces):
            tile = self._tiles[i % len(self._tiles)]
            yield piece, tile
            self._refill(i, tile, now, following)

    def _refill(self, i: int, tile: Any, now: Part, following: Part | None) -> None:
        room, ahead = len(self._tiles), i + len(self._tiles)
        if ahead < len(self.pieces):
            self._load(tile, now.block.expert, self.pieces[ahead])
        elif following is None:
            return
        elif room == len(self.pieces):
            if following.opens_block:
                self._load(tile, following.block.expert_to_load, self.pieces[i])
        else:
            self._load(tile, following.block.expert, self.pieces[i % room])


class Vector:
    """A small tensor of the current expert, such as a bias: one tile, replaced after the block's last use."""

    def __init__(self, tile: Any, load: Callable[[Any, Any], None]) -> None:
        self.tile, self._load = tile, load

    def fill(self, part: Part) -> None:
        """Load the first block's."""
        self._load(self.tile, part.block.expert)

    def replace(self, following: Part) -> None:
        """Load the following block's, unless its expert is the same."""
        self._load(self.tile, following.block.expert_to_load)
