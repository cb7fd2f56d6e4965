# SPDX-License-Identifier: Apache-2.0
"""Gathering rows by token id."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.load_routing import BlockRouting, Part
from nkimoe.kernels.stages.token_columns import ColumnTiling
from nkimoe.kernels.tensor import DType, IndexTile, OutOfBounds, Pattern, Tensor
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import PARTITIONS, Span, spans


def clear(tile: Tensor) -> None:
    """Zero a tile: a gather that skips pad ids leaves those rows as they were."""
    nisa.memset(dst=tile, value=0)


def leave(tile: Tensor) -> None:
    """Every row of a tile will be written."""


class TileRing:
    """`count` tiles used in turn, prepared once."""

    def __init__(self, count: int, shape: tuple[int, int], dtype: DType, prepare: Callable[[Tensor], None]) -> None:
        self._tiles: list[Tensor] = [nl.ndarray(shape, dtype=dtype, buffer=nl.sbuf) for _ in range(count)]
        self._next = 0
        for tile in self._tiles:
            prepare(tile)

    def take(self) -> Tensor:
        """The tile whose turn it is."""
        tile = self._tiles[self._next % len(self._tiles)]
        self._next += 1
        return tile

    def rewind(self) -> None:
        """Start with the first tile again."""
        self._next = 0


class RowSets:
    """Sets of tiles that parts take in turn, each until all other sets have been taken.

    Args:
        sets: of tiles alike.
    """

    def __init__(self, sets: list[list[Tensor]]) -> None:
        self._sets = sets
        self._parts: list[Part | None] = [None] * len(sets)

    def has(self, part: Part) -> bool:
        """Whether a set is that of this part."""
        return any(each is part for each in self._parts)

    def take(self, part: Part) -> list[Tensor]:
        """The tiles of the part that has been here longest are this one's now."""
        self._sets.append(self._sets.pop(0))
        self._parts = [*self._parts[1:], part]
        return self._sets[-1]

    def of(self, part: Part) -> list[Tensor]:
        """The tiles of a part that is here."""
        return next(tiles for tiles, each in zip(self._sets, self._parts, strict=True) if each is part)

    def rename(self, part: Part) -> None:
        """The part that came last is this one."""
        self._parts[-1] = part


class TokenRows:
    """Columns `columns` of the hidden rows of some parts, a tile [slots, columns] for each 128 slots.

    With one set of tiles the next part's rows arrive as soon as this part's have been transposed; with two
    (`Tiling.row_sets`), while they still are.
    """

    def __init__(self, request: Request, columns: Span, tiling: ColumnTiling, out_of_bounds: OutOfBounds) -> None:
        self._source, self._columns, self._out_of_bounds = request.hidden_states, columns, out_of_bounds
        self._sets = self._room(request, tiling, columns.size, request.compute_dtype)

    @staticmethod
    def _room(request: Request, tiling: ColumnTiling, width: int, dtype: DType) -> RowSets:
        """Tiles [128, width] that rows are gathered into."""
        tiles, sets = tiling.token_tiles, range(tiling.row_sets)
        ring = TileRing(tiles * len(sets), (PARTITIONS, width), dtype, PREPARE[request.skip_dma.skip_token])
        return RowSets([[ring.take() for _ in range(tiles)] for _ in sets])

    def gather(self, part: Part | None) -> None:
        """Start loading a part's rows, unless they are on their way."""
        for _ in self.transfers(part):
            pass

    def transfers(self, part: Part | None) -> Iterator[None]:
        """`gather`, a tile a step."""
        if part is not None and not self._sets.has(part):
            for tile, ids in zip(self._sets.take(part), part.ids, strict=False):
                self._fetch(tile, ids)
                yield

    def _fetch(self, tile: Tensor, ids: IndexTile) -> None:
        """Start loading the rows of one tile."""
        self._fetch_columns(tile, ids, self._columns)

    def _fetch_columns(self, tile: Tensor, ids: IndexTile, columns: Span) -> None:
        """tile[0:slots, :] = these columns of rows ids [slots, 1]."""
        H, slots, size = self._source.shape[1], ids.shape[0], columns.size
        rows = self._source.ap(
            pattern=self.pattern(H, slots, size), offset=columns.start, vector_offset=ids, indirect_dim=0
        )
        nisa.dma_copy(dst=tile[0:slots, :], src=rows, oob_mode=self._out_of_bounds)

    def hold(self, part: Part) -> None:
        """The rows gathered last are those of this part, which a device loop knew by another name."""
        self._sets.rename(part)

    def pattern(self, H: int, rows: int, size: int) -> Pattern:
        """The columns of so many rows, as steps and counts."""
        return [[H, rows], [1, size]]

    def of(self, part: Part) -> list[Tensor]:
        """The tiles of a part that was gathered."""
        own = zip(self._sets.of(part), spans(part.slots, PARTITIONS), strict=False)
        return [tile[0 : slots.size, :] for tile, slots in own]


def gather_affinities(dst: Tensor, affinities: Tensor, block: BlockRouting, out_of_bounds: OutOfBounds) -> None:
    """dst, fp32 [128, tiles], receives the affinity of each slot of a block; 0 for slots that are skipped."""
    gather_values(dst, affinities, [block.rows[:, c : c + 1] for c in range(dst.shape[1])], out_of_bounds)


def gather_values(dst: Tensor, source: Tensor, rows: list[IndexTile], out_of_bounds: OutOfBounds) -> None:
    """dst [128, tiles] receives what the rows named by each index tile hold, one number each; 0 for those skipped.

    An index tile of fewer rows fills as many of its column.
    """
    nisa.memset(dst=dst, value=0, engine=nisa.engine.gpsimd)  # it gathers, too: nobody else waits
    for c, indices in enumerate(rows):
        slots = indices.shape[0]
        values = source.ap(pattern=[[1, slots], [1, 1]], vector_offset=indices, indirect_dim=0)
        nisa.dma_copy(dst=dst[0:slots, c : c + 1], src=values, oob_mode=out_of_bounds)


PREPARE = {True: clear, False: leave}
