"""Gathering rows by token id."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl


class TileRing:
    """`count` tiles used in turn.

    With `clear`, tiles start as zeros: a gather that skips pad ids leaves those rows as they were, and what they held
    before (an earlier block's rows) reaches no output.
    """

    def __init__(self, count: int, shape: tuple[int, int], dtype: Any, clear: bool) -> None:
        self._tiles = [nl.ndarray(shape, dtype=dtype, buffer=nl.sbuf) for _ in range(count)]
        self._next = 0
        if clear:
            for tile in self._tiles:
                nisa.memset(dst=tile, value=0)

    def take(self) -> Any:
        """The tile whose turn it is."""
        tile = self._tiles[self._next % len(self._tiles)]
        self._next += 1
        return tile


def gather_tokens(hidden_states: Any, ids: list[Any], ring: TileRing, out_of_bounds: Any) -> list[Any]:
    """Rows `ids` of hidden_states [T', H], one tile [128, H] for each index tile [128, 1]."""
    H = hidden_states.shape[1]
    return [_gather(hidden_states, [[H, 128], [1, H]], index, ring.take(), out_of_bounds) for index in ids]


def gather_affinities(affinities: Any, rows: list[Any], ring: TileRing, out_of_bounds: Any) -> list[Any]:
    """Entries `rows` of the affinity column, one fp32 tile [128, 1] for each index tile."""
    return [_gather(affinities, [[1, 128], [1, 1]], index, ring.take(), out_of_bounds) for index in rows]


def _gather(source: Any, pattern: list[list[int]], index: Any, tile: Any, out_of_bounds: Any) -> Any:
    rows = source.ap(pattern=pattern, vector_offset=index, indirect_dim=0)
    nisa.dma_copy(dst=tile, src=rows, oob_mode=out_of_bounds)
    return tile
