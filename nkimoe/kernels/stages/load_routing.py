"""Token ids, experts and affinity rows of a core's blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.plan import BlockRange
from nkimoe.problem import Problem
from nkimoe.request import Request
from nkimoe.tiling import ROUTING_COLUMNS


@dataclass(frozen=True)
class Window:
    """The tables of some consecutive blocks of the core. Slot i of a block is partition i % 128 of tile i // 128.

    Attributes:
        first: the first block, counted on this core.
        ids: int32 [128, blocks * tiles], the token of each slot.
        rows: int32, same shape, row of the affinity column: id * E + expert.
    """

    first: int
    ids: Any
    rows: Any


class Routing:
    """Routing tables of one core's blocks, loaded some blocks at a time, and the experts of all of them.

    Attributes:
        experts: int32 [1, blocks].
        out_of_bounds: what a gather does with pad ids.
    """

    def __init__(self, request: Request, problem: Problem, blocks: BlockRange) -> None:
        self._request, self._problem, self._blocks = request, problem, blocks
        self._per_window = max(1, ROUTING_COLUMNS // problem.tiles_per_block)
        self._window: Window | None = None
        n, first = max(blocks.count, 1), min(blocks.first, problem.N - 1)
        self.experts = nl.ndarray((1, n), dtype=nl.int32, buffer=nl.sbuf, name="experts")
        source = request.block_to_expert.ap(pattern=[[1, 1], [blocks.step, n]], offset=first)
        nisa.dma_copy(dst=self.experts, src=source)
        self.out_of_bounds = nisa.oob_mode.skip if request.skip_dma.skip_token else nisa.oob_mode.error

    def token_ids(self, block: int, first_tile: int, count: int) -> list[Any]:
        """One [128, 1] index tile for each of `count` tiles. Blocks are asked for in order."""
        window = self._window_of(block)
        return [window.ids[:, c : c + 1] for c in self._columns(window, block, first_tile, count)]

    def affinity_rows(self, block: int, first_tile: int, count: int) -> list[Any]:
        """Likewise, rows of the affinity column."""
        window = self._window_of(block)
        return [window.rows[:, c : c + 1] for c in self._columns(window, block, first_tile, count)]

    def _columns(self, window: Window, block: int, first_tile: int, count: int) -> range:
        start = (block - window.first) * self._problem.tiles_per_block + first_tile
        return range(start, start + count)

    def _window_of(self, block: int) -> Window:
        first = block // self._per_window * self._per_window
        if self._window is None or self._window.first != first:
            self._window = self._load(first, min(self._per_window, self._blocks.count - first))
        return self._window

    def _load(self, first: int, n: int) -> Window:
        """Two DMAs, and the affinity rows computed exactly, in int32."""
        p, step, tiles = self._problem, self._blocks.step, self._problem.tiles_per_block
        at = self._blocks.block(first)
        ids = nl.ndarray((128, n * tiles), dtype=nl.int32, buffer=nl.sbuf, name=f"token_ids_{first}")
        pattern = [[1, 128], [step * p.B, n], [128, tiles]]
        nisa.dma_copy(dst=ids, src=self._request.token_position_to_id.ap(pattern=pattern, offset=at * p.B))
        everywhere = nl.ndarray((128, n), dtype=nl.int32, buffer=nl.sbuf, name=f"experts_everywhere_{first}")
        experts = self._request.block_to_expert.ap(pattern=[[0, 128], [step, n]], offset=at)
        nisa.dma_copy(dst=everywhere, src=experts)
        return Window(first, ids, _affinity_rows(ids, everywhere, p.E, n, tiles))


def _affinity_rows(ids: Any, experts: Any, E: int, n: int, tiles: int) -> Any:
    """ids * E + expert, on GpSimd: the Vector Engine's int32 goes through fp32 and is exact only to 2**24."""
    factor = nl.ndarray((128, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.memset(dst=factor, value=E)
    rows = nl.ndarray((128, n * tiles), dtype=nl.int32, buffer=nl.sbuf)
    everywhere = factor.ap(pattern=[[1, 128], [0, n * tiles]])
    nisa.tensor_tensor(dst=rows, data1=ids, data2=everywhere, op=nl.multiply, engine=nisa.engine.gpsimd)
    per_tile = experts.ap(pattern=[[n, 128], [1, n], [0, tiles]])
    nisa.tensor_tensor(dst=rows, data1=rows, data2=per_tile, op=nl.add, engine=nisa.engine.gpsimd)
    return rows
