"""A matrix of expert weights in SBUF, cut into pieces, each replaced as soon as its last use is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nkimoe.kernels.stages.load_routing import Part
from nkimoe.tiling import Span

Load = Callable[[Any, Any, Span], None]
"""(tile, [1, 1] index tile of the expert, columns): start a transfer; an index of E transfers nothing."""


class Pieces:
    """Pieces of columns that take turns in a number of tiles.

    With a tile for each piece the expert stays: a following part of the same expert finds its weights in place, and a
    following block loads them under `expert_to_load`, which skips an expert that is there already. With fewer tiles
    every part loads all pieces. In both cases the load that replaces a piece is issued right after the piece was used,
    so that it runs while the rest of the part computes.

    Attributes:
        spans: the columns of each piece, in the order of use.
    """

    def __init__(self, spans: list[Span], tiles: list[Any], load: Load) -> None:
        self.spans, self._tiles, self._load = spans, tiles, load

    def fill(self, part: Part) -> None:
        """Load the pieces that the first part uses first."""
        for tile, span in zip(self._tiles, self.spans, strict=False):
            self._load(tile, part.block.expert, span)

    def visit(self, now: Part, following: Part | None) -> Iterator[tuple[Span, Any]]:
        """Give (columns, tile) for each piece, and refill tiles behind the visitor."""
        for i, span in enumerate(self.spans):
            tile = self._tiles[i % len(self._tiles)]
            yield span, tile
            self._refill(i, tile, now, following)

    def _refill(self, i: int, tile: Any, now: Part, following: Part | None) -> None:
        ahead = i + len(self._tiles)
        if ahead < len(self.spans):
            self._load(tile, now.block.expert, self.spans[ahead])
        elif following is not None and len(self._tiles) < len(self.spans):
            self._load(tile, following.block.expert, self.spans[i % len(self._tiles)])
        elif following is not None and following.opens_block:
            self._load(tile, following.block.expert_to_load, self.spans[i])


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
