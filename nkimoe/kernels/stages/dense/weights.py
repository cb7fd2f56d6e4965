"""Expert weights on their way to SBUF: prefetched whole, kept across blocks, or streamed in pieces.

Gate/up weights lie as [128, H/128, 2, columns of I]; contraction tile k, partition p is the row of H that
`transpose_tokens.hidden_rows` names. Down weights lie as [128, I/128, columns of H], row i on partition i % 128.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.load_routing import Routing
from nkimoe.plan import LOADED, PREFETCHED, RESIDENT, STREAMED, Plan
from nkimoe.request import Request
from nkimoe.tiling import PARTITIONS, Span, ceil_div, spans


@dataclass(frozen=True)
class WeightLoader:
    """DMAs of one expert's tensors; `expert` is a [1, 1] index tile.

    Attributes:
        out_of_bounds: what an expert of E means: skip the transfer, or an error.
    """

    request: Request
    plan: Plan
    dtype: Any
    out_of_bounds: Any

    def new_gate_up(self, columns: Span) -> Any:
        """An empty tile for some columns of the gate and up weights."""
        return nl.ndarray(
            (PARTITIONS, self.plan.problem.H // PARTITIONS, 2, columns.size), dtype=self.dtype, buffer=nl.sbuf
        )

    def load_gate_up(self, tile: Any, expert: Any, columns: Span) -> Any:
        """Rows base + p*g .. base + p*g + g-1 of H go to partition p: g rows are one run of HBM."""
        p, g = self.plan.problem, self.plan.tiling.row_group
        source = self.request.gate_up_proj_weight.ap(
            pattern=[
                [g * 2 * p.I, PARTITIONS],
                [PARTITIONS * g * 2 * p.I, p.H // (PARTITIONS * g)],
                [2 * p.I, g],
                [p.I, 2],
                [1, columns.size],
            ],
            offset=columns.start,
            scalar_offset=expert,
            indirect_dim=0,
        )
        nisa.dma_copy(dst=tile, src=source, oob_mode=self.out_of_bounds)
        return tile

    def new_down(self, columns: Span) -> Any:
        """An empty tile for some columns of the down weights."""
        i_tiles = ceil_div(self.plan.problem.I, PARTITIONS)
        return nl.ndarray((PARTITIONS, i_tiles, columns.size), dtype=self.dtype, buffer=nl.sbuf)

    def load_down(self, tile: Any, expert: Any, columns: Span) -> Any:
        """Whole tiles of 128 rows in one DMA, the rest in another."""
        p = self.plan.problem
        for first, rows, count in row_tiles(p.I):
            source = self.request.down_proj_weight.ap(
                pattern=[[p.H, rows], [PARTITIONS * p.H, count], [1, columns.size]],
                offset=first * PARTITIONS * p.H + columns.start,
                scalar_offset=expert,
                indirect_dim=0,
            )
            nisa.dma_copy(dst=tile[0:rows, first : first + count, :], src=source, oob_mode=self.out_of_bounds)
        return tile

    def new_gate_up_bias(self) -> Any:
        """fp32 [128, 2, I/128]: element i of a bias on partition i % 128."""
        return nl.ndarray((PARTITIONS, 2, ceil_div(self.plan.problem.I, PARTITIONS)), dtype=nl.float32, buffer=nl.sbuf)

    def load_gate_up_bias(self, tile: Any, expert: Any) -> Any:
        """Cast to fp32 on the way; None without a bias."""
        p = self.plan.problem
        for first, rows, count in row_tiles(p.I):
            source = self.request.gate_and_up_proj_bias.ap(
                pattern=[[1, rows], [p.I, 2], [PARTITIONS, count]],
                offset=first * PARTITIONS,
                scalar_offset=expert,
                indirect_dim=0,
            )
            nisa.dma_copy(dst=tile[0:rows, :, first : first + count], src=source, oob_mode=self.out_of_bounds)
        return tile

    def new_down_bias(self) -> Any:
        """[1, H]."""
        return nl.ndarray((1, self.plan.problem.H), dtype=self.dtype, buffer=nl.sbuf)

    def load_down_bias(self, tile: Any, expert: Any) -> Any:
        """One row."""
        H = self.plan.problem.H
        source = self.request.down_proj_bias.ap(
            pattern=[[H, 1], [1, H]], offset=0, scalar_offset=expert, indirect_dim=0
        )
        nisa.dma_copy(dst=tile, src=source, oob_mode=self.out_of_bounds)
        return tile


def row_tiles(total: int) -> list[tuple[int, int, int]]:
    """(first tile, rows a tile, tiles): whole tiles of 128 rows, then what is left.

    >>> row_tiles(320), row_tiles(96)
    ([(0, 128, 2), (2, 64, 1)], [(0, 96, 1)])
    """
    whole, rest = divmod(total, PARTITIONS)
    return [part for part in ((0, PARTITIONS, whole), (whole, rest, 1)) if part[1] and part[2]]


Pieces = Iterator[tuple[Span, Any]]


class ExpertWeights:
    """The weights of the block being computed.

    `prefetch(block)` may start loads early; `open(block)` makes the block current; then `gate_up()` and `down()` give
    its weights as (columns, tile) pieces, and the biases are None or tiles.
    """

    gate_up_bias: Any = None
    down_bias: Any = None

    def __init__(self, loader: WeightLoader, routing: Routing) -> None:
        self.loader, self.routing = loader, routing
        tiling, problem = loader.plan.tiling, loader.plan.problem
        self.gate_up_pieces = spans(problem.I, tiling.gate_up_columns)
        self.down_pieces = spans(problem.H, tiling.down_columns)
        self.has_gate_up_bias = loader.request.gate_and_up_proj_bias is not None
        self.has_down_bias = loader.request.down_proj_bias is not None

    def expert(self, block: int) -> Any:
        """[1, 1] index tile of the expert of the core's block number `block`."""
        return self.routing.experts[:, block : block + 1]

    def prefetch(self, block: int) -> None:
        """Start loading, if there is room."""

    def open(self, block: int) -> None:
        """Make `block` current."""
        raise NotImplementedError

    def gate_up(self) -> Pieces:
        """Pieces of columns of I."""
        raise NotImplementedError

    def down(self) -> Pieces:
        """Pieces of columns of H."""
        raise NotImplementedError

    def load_biases(self, expert: Any) -> tuple[Any, Any]:
        """(gate/up, down) bias tiles of an expert, each None if the request has none."""
        load = self.loader
        gate_up = load.load_gate_up_bias(load.new_gate_up_bias(), expert) if self.has_gate_up_bias else None
        down = load.load_down_bias(load.new_down_bias(), expert) if self.has_down_bias else None
        return gate_up, down


class WholeWeights(ExpertWeights):
    """A whole expert in fresh tiles, loaded when its block opens."""

    def open(self, block: int) -> None:
        self._use(*self._load(block))

    def _load(self, block: int) -> tuple[Any, Any, tuple[Any, Any]]:
        (columns,), (rows,) = self.gate_up_pieces, self.down_pieces
        load, expert = self.loader, self.expert(block)
        gate_up = load.load_gate_up(load.new_gate_up(columns), expert, columns)
        return gate_up, load.load_down(load.new_down(rows), expert, rows), self.load_biases(expert)

    def _use(self, gate_up: Any, down: Any, biases: tuple[Any, Any]) -> None:
        self._gate_up, self._down = gate_up, down
        self.gate_up_bias, self.down_bias = biases

    def gate_up(self) -> Pieces:
        yield self.gate_up_pieces[0], self._gate_up

    def down(self) -> Pieces:
        yield self.down_pieces[0], self._down


class PrefetchedWeights(WholeWeights):
    """A whole expert, loaded while the previous block computes: two experts are on chip."""

    def __init__(self, loader: WeightLoader, routing: Routing) -> None:
        super().__init__(loader, routing)
        self._ahead: dict[int, tuple[Any, Any, tuple[Any, Any]]] = {}

    def prefetch(self, block: int) -> None:
        self._ahead[block] = self._load(block)

    def open(self, block: int) -> None:
        self._use(*self._ahead.pop(block))


class ResidentWeights(WholeWeights):
    """One set of tiles; a block whose expert equals the previous block's loads nothing.

    The comparison is made on chip for all blocks at once: equal neighbours get index E, which every load skips.
    """

    def __init__(self, loader: WeightLoader, routing: Routing) -> None:
        super().__init__(loader, routing)
        (columns,), (rows,) = self.gate_up_pieces, self.down_pieces
        gate_up_bias = loader.new_gate_up_bias() if self.has_gate_up_bias else None
        down_bias = loader.new_down_bias() if self.has_down_bias else None
        self._use(loader.new_gate_up(columns), loader.new_down(rows), (gate_up_bias, down_bias))
        self._to_load = _experts_to_load(routing.experts, loader.plan.problem.E)

    def open(self, block: int) -> None:
        expert = self._to_load[:, block : block + 1]
        self.loader.load_gate_up(self._gate_up, expert, self.gate_up_pieces[0])
        self.loader.load_down(self._down, expert, self.down_pieces[0])
        if self.has_gate_up_bias:
            self.loader.load_gate_up_bias(self.gate_up_bias, expert)
        if self.has_down_bias:
            self.loader.load_down_bias(self.down_bias, expert)


class StreamedWeights(ExpertWeights):
    """Pieces in fresh tiles, each loaded while the previous one is used."""

    def open(self, block: int) -> None:
        self._expert = self.expert(block)
        self.gate_up_bias, self.down_bias = self.load_biases(self._expert)

    def gate_up(self) -> Pieces:
        load = self.loader
        return _one_ahead(
            self.gate_up_pieces, lambda piece: load.load_gate_up(load.new_gate_up(piece), self._expert, piece)
        )

    def down(self) -> Pieces:
        load = self.loader
        return _one_ahead(self.down_pieces, lambda piece: load.load_down(load.new_down(piece), self._expert, piece))


def _one_ahead(pieces: list[Span], load: Callable[[Span], Any]) -> Pieces:
    """(piece, tile) for each piece, the next piece's load issued before this one is handed out."""
    ahead = load(pieces[0])
    for piece, following in zip(pieces, [*pieces[1:], None], strict=True):
        tile, ahead = ahead, load(following) if following else None
        yield piece, tile


def _experts_to_load(experts: Any, E: int) -> Any:
    """int32 [1, blocks]: the expert of each block, or E where the block before has the same one."""
    n = experts.shape[1]
    to_load = nl.ndarray((1, n), dtype=nl.int32, buffer=nl.sbuf, name="experts_to_load")
    nisa.tensor_copy(dst=to_load, src=experts)
    if n > 1:
        same = nl.ndarray((1, n - 1), dtype=nl.uint8, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=same, data1=experts[:, 1:n], data2=experts[:, 0 : n - 1], op=nl.equal)
        nothing = nl.ndarray((1, n - 1), dtype=nl.int32, buffer=nl.sbuf)
        nisa.memset(dst=nothing, value=E)
        nisa.tensor_copy_predicated(dst=to_load[:, 1:n], src=nothing, predicate=same)
    return to_load


KINDS: dict[str, type[ExpertWeights]] = {
    LOADED: WholeWeights,
    PREFETCHED: PrefetchedWeights,
    RESIDENT: ResidentWeights,
    STREAMED: StreamedWeights,
}


def make_weights(request: Request, plan: Plan, routing: Routing) -> ExpertWeights:
    """The weight source the plan chose."""
    kind = KINDS[plan.weights]
    out_of_bounds = nisa.oob_mode.skip if kind is ResidentWeights else nisa.oob_mode.error
    return kind(WeightLoader(request, plan, request.compute_dtype, out_of_bounds), routing)
