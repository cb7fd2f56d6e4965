"""Token ids, experts and affinity rows of all blocks of a core, loaded once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.plan import BlockRange
from nkimoe.problem import Problem
from nkimoe.request import Request


@dataclass(frozen=True)
class Routing:
    """On-chip routing tables of one core's blocks. Slot i of a block is partition i % 128 of tile i // 128.

    Attributes:
        ids: int32 [128, blocks * tiles], the token of each slot.
        rows: int32, same shape, row of the affinity column: id * E + expert.
        experts: int32 [1, blocks].
        tiles: tiles of 128 slots a block.
        out_of_bounds: what a gather does with pad ids.
    """

    ids: Any
    rows: Any
    experts: Any
    tiles: int
    out_of_bounds: Any

    def token_ids(self, block: int, first_tile: int, count: int) -> list[Any]:
        """One [128, 1] index tile for each of `count` tiles."""
        return [self.ids[:, c : c + 1] for c in self._columns(block, first_tile, count)]

    def affinity_rows(self, block: int, first_tile: int, count: int) -> list[Any]:
        """Likewise, rows of the affinity column."""
        return [self.rows[:, c : c + 1] for c in self._columns(block, first_tile, count)]

    def _columns(self, block: int, first_tile: int, count: int) -> range:
        start = block * self.tiles + first_tile
        return range(start, start + count)


def load_routing(request: Request, problem: Problem, blocks: BlockRange) -> Routing:
    """Load the tables with three DMAs and compute the affinity rows exactly, in int32."""
    n, tiles = max(blocks.count, 1), problem.tiles_per_block
    first = min(blocks.first, problem.N - 1)
    ids = nl.ndarray((128, n * tiles), dtype=nl.int32, buffer=nl.sbuf, name="token_ids")
    nisa.dma_copy(
        dst=ids,
        src=request.token_position_to_id.ap(
            pattern=[[1, 128], [blocks.step * problem.B, n], [128, tiles]], offset=first * problem.B
        ),
    )
    experts = nl.ndarray((1, n), dtype=nl.int32, buffer=nl.sbuf, name="experts")
    nisa.dma_copy(dst=experts, src=request.block_to_expert.ap(pattern=[[1, 1], [blocks.step, n]], offset=first))
    everywhere = nl.ndarray((128, n), dtype=nl.int32, buffer=nl.sbuf, name="experts_everywhere")
    nisa.dma_copy(dst=everywhere, src=request.block_to_expert.ap(pattern=[[0, 128], [blocks.step, n]], offset=first))
    rows = _affinity_rows(ids, everywhere, problem.E, n, tiles)
    skips = request.skip_dma.skip_token
    return Routing(ids, rows, experts, tiles, nisa.oob_mode.skip if skips else nisa.oob_mode.error)


def _affinity_rows(ids: Any, experts: Any, E: int, n: int, tiles: int) -> Any:
    """ids * E + expert, on GpSimd: the Vector Engine's int32 goes through fp32 and is exact only to 2**24."""
    factor = nl.ndarray((128, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.memset(dst=factor, value=E)
    rows = nl.ndarray((128, n * tiles), dtype=nl.int32, buffer=nl.sbuf, name="affinity_rows")
    everywhere = factor.ap(pattern=[[1, 128], [0, n * tiles]])
    nisa.tensor_tensor(dst=rows, data1=ids, data2=everywhere, op=nl.multiply, engine=nisa.engine.gpsimd)
    per_tile = experts.ap(pattern=[[n, 128], [1, n], [0, tiles]])
    nisa.tensor_tensor(dst=rows, data1=rows, data2=per_tile, op=nl.add, engine=nisa.engine.gpsimd)
    return rows
