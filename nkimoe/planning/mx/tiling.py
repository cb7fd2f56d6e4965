# SPDX-License-Identifier: Apache-2.0
"""How MX sizes are cut: which packed rows of I a core computes, and what of an expert is on chip.

A packed row holds four columns of I, a quarter of a tile apart: row p of tile i holds columns i * 512 + q * w_i + p for
q = 0..3, where w_i is a quarter of the columns of the tile (128, or less in the last one).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from nkimoe.errors import RequestError
from nkimoe.planning.problem import Problem
from nkimoe.planning.shares import MX_BLOCK, QUARTERS
from nkimoe.planning.tiling import (
    OLD_ROW_SETS,
    OUTPUT_BYTES,
    PARTITIONS,
    PSUM_BANK_BYTES,
    PSUM_COLUMNS,
    QUADRANT,
    ROUTING_COLUMNS,
    SMALL_TILES,
    STREAMED_TILES,
    Span,
    Tiling,
    ceil_div,
)

BLOCK = MX_BLOCK  # values that share a scale: 8 packed rows
TILE = QUARTERS * PARTITIONS  # values of a contraction that one matmul takes
ACTIVATION_BYTES = 5  # a packed fp8 element and its scale
# Chosen by prediction on the MX layers of benchmarks/comparison/mx.py; no device has confirmed them.
EXCHANGED = 1024  # columns of partial sums that wait for their counterparts: two PSUM banks
DOWN_PIECES = (2048, 1024, 512)  # columns of H loaded together when not all fit: the longest runs first
# Columns of I for each slot up to which scales are repeated, by bytes of a packed weight. Those of an expert are then
# 0.75 * H * I bytes, about half of the 4 * H * B that a block's token rows and results are; beside weights of half the
# bytes more are worth it, and more still where all arrive while the block before is computed. With more, what is bound
# by bytes was predicted slower.
REPEATED_COLUMNS, REPEATED_IN_TURN = {2: 5, 4: 3}, 12
# Slots of a block up to which the next block's expert has a set of tiles of its own: small blocks meet a new expert
# each, or nearly. In larger ones an expert that has several is loaded into both sets, 5 % slower in blocks of 128.
SLOTS_OF_TWO_EXPERTS = 64
# Tiles of token rows up to which the next part has a set of its own, so that GpSimd need not wait for transposes. In
# parts of three tiles the first is free early enough: there two sets were predicted 1 to 3 % slower.
TILES_OF_TWO_SETS = 2


class InnerTile(NamedTuple):
    """Packed rows `first` .. `first + rows - 1` of tile `tile` of I, whose quarters are `width` columns wide."""

    tile: int
    first: int
    rows: int
    width: int

    @property
    def columns(self) -> int:
        """Columns of I."""
        return QUARTERS * self.rows

    def column(self, quarter: int, start: int) -> int:
        """The first column of I of one of four quarters, counted from tile `start`."""
        return (self.tile - start) * TILE + quarter * self.width + self.first

    @property
    def padded_rows(self) -> int:
        """Partitions of an operand that holds them."""
        return ceil_div(self.rows, QUADRANT) * QUADRANT


def inner_tiles(I: int, own: Span) -> list[InnerTile]:
    """The part of each tile of I that lies in columns `own`, counted in packed order.

    >>> inner_tiles(1536, Span(0, 768))
    [InnerTile(tile=0, first=0, rows=128, width=128), InnerTile(tile=1, first=0, rows=64, width=128)]
    """
    found = []
    for tile in range(ceil_div(I, TILE)):
        width = min(PARTITIONS, I // QUARTERS - tile * PARTITIONS)
        first = max(own.start // QUARTERS - tile * PARTITIONS, 0)
        end = min(own.stop // QUARTERS - tile * PARTITIONS, width)
        if first < end:
            found.append(InnerTile(tile, first, end - first, width))
    return found


def inner_groups(inner: Sequence[InnerTile]) -> list[Span]:
    """Neighbouring tiles that hold the same packed rows each.

    >>> inner_groups(inner_tiles(1536, Span(0, 1280)))
    [Span(start=0, size=2), Span(start=2, size=1)]
    """
    groups: list[Span] = []
    for at, tile in enumerate(inner):
        if groups and inner[at - 1][1:3] == tile[1:3]:
            groups[-1] = Span(groups[-1].start, groups[-1].size + 1)
        else:
            groups.append(Span(at, 1))
    return groups


def repeats_scales(rows: int, columns: int, slots: int, packed_bytes: int, weight_sets: int) -> bool:
    """Whether a plain transfer fills quadrants with copies of their scales, or GpSimd describes a gather.

    Args:
        rows: packed rows whose scales are wanted; quadrants that are not full would read beyond them.
        columns: of I on this core.
        slots: of a block: with many GpSimd has more to do than moves the weights.
        packed_bytes: of a packed weight.
        weight_sets: experts on chip.

    >>> repeats_scales(128, 384, 128, 4, 1), repeats_scales(128, 384, 96, 4, 1), repeats_scales(128, 384, 96, 2, 1)
    (True, False, True)
    >>> repeats_scales(128, 384, 64, 2, 1), repeats_scales(128, 384, 64, 2, 2), repeats_scales(40, 160, 128, 2, 1)
    (False, True, False)
    """
    most = REPEATED_COLUMNS[packed_bytes] if weight_sets == 1 else REPEATED_IN_TURN
    return rows % QUADRANT == 0 and columns <= most * slots


@dataclass(frozen=True)
class MxDemand:
    """What one core has to hold.

    Attributes:
        tiles: tiles of I it has a part of, on the core that has most; columns: all columns of these, likewise.
        gathered: columns of a quarter of H it gathers; written: columns of H it writes.
        peers: cores that work on the same blocks and exchange partial sums.
        blocks: how many it processes, unrolled.
        looped: how many an iteration of a device loop processes; 0 without one.
        item: bytes of the compute dtype.
        gate_up_bytes, down_bytes: of a packed weight on chip with its share of a scale.
        per_column: bytes of bias and scales for each column of H that is written.
    """

    tiles: int
    columns: int
    gathered: int
    written: int
    peers: int
    blocks: int
    looped: int
    item: int
    gate_up_bytes: float
    down_bytes: float
    per_column: int


class _MxCut(NamedTuple):
    """Token tiles, sets of their rows, sets of weights; tiles of I in a piece of gate/up weights, columns in one of
    down weights; pieces of a set on chip.
    """

    tokens: int
    row_sets: int
    weight_sets: int
    inner: int
    down: int
    gate_up_pieces: int
    down_pieces: int


def choose_mx_tiling(problem: Problem, demand: MxDemand, sbuf_capacity: int) -> Tiling:
    """The first tiling that fits, preferring whole experts on chip, then more tokens at a time.

    Raises:
        RequestError: nothing fits.
    """
    needed = 0
    for cut in _candidates(problem, demand):
        needed = _sbuf_bytes(problem, demand, cut)
        if needed <= sbuf_capacity:
            return Tiling(
                token_tiles=cut.tokens,
                row_sets=cut.row_sets,
                row_group=1,
                sent_ahead=1,
                gate_up_rows=problem.H,
                gate_up_columns=cut.inner * TILE,
                down_columns=cut.down,
                inner_rows=PARTITIONS,
                gate_up_tiles=cut.gate_up_pieces,
                down_tiles=cut.down_pieces,
                weight_sets=cut.weight_sets,
                weights_fit=(cut.gate_up_pieces, cut.down_pieces) == _pieces(problem, demand, cut.inner, cut.down),
                transposes_per_bank=PSUM_BANK_BYTES // (PARTITIONS * demand.item),
                sbuf_bytes=needed,
            )
    raise RequestError(
        "down_proj_weight",
        f"one tile of 128 tokens with its weights fits in {sbuf_capacity} bytes of SBUF a partition",
        f"{needed} bytes for H={problem.H}, I={problem.I}", "Split I over more ranks (tensor parallelism).",
    )  # fmt: skip


def _pieces(problem: Problem, demand: MxDemand, inner: int, down: int) -> tuple[int, int]:
    """How many pieces of gate/up and of down weights an expert has on this core."""
    return ceil_div(demand.tiles, inner), problem.H // demand.written * ceil_div(demand.written, down)


def _candidates(problem: Problem, demand: MxDemand) -> Iterator[_MxCut]:
    for tokens in range(min(problem.tiles_per_block, PSUM_COLUMNS // PARTITIONS), 0, -1):
        down = min(demand.written, EXCHANGED) if demand.peers else demand.written
        for inner in dict.fromkeys((demand.tiles, 1)):
            for sets in product(_row_sets(problem, demand, tokens), _weight_sets(problem, demand)):
                yield _MxCut(tokens, *sets, inner, down, *_pieces(problem, demand, inner, down))
    for tokens in range(min(problem.tiles_per_block, STREAMED_TILES), 0, -1):
        for width in DOWN_PIECES:
            down = min(width, demand.written)
            pieces = _pieces(problem, demand, 1, down)
            yield _MxCut(tokens, 1, 1, 1, down, min(2, pieces[0]), min(2, pieces[1]))
    yield _MxCut(1, 1, 1, 1, min(DOWN_PIECES[-1], demand.written), 1, 1)


def _row_sets(problem: Problem, demand: MxDemand, tokens: int) -> tuple[int, ...]:
    """How many sets of token rows, the better number first. The body of a loop is traced once: where it begins, it
    finds each set in the place where it leaves it, so its parts take both equally often.
    """
    looped = demand.looped * ceil_div(problem.tiles_per_block, tokens)
    return (2, 1) if tokens <= TILES_OF_TWO_SETS and looped % 2 == 0 else (1,)


def _weight_sets(problem: Problem, demand: MxDemand) -> tuple[int, ...]:
    """How many experts are on chip, the better number first. In a loop nothing is fetched ahead of its next turn."""
    return (2, 1) if problem.B <= SLOTS_OF_TWO_EXPERTS and not demand.looped else (1,)


def _sbuf_bytes(problem: Problem, demand: MxDemand, cut: _MxCut) -> int:
    """Bytes a partition of everything alive at once; see the stages for the tiles."""
    tiles, columns = problem.H // TILE, cut.tokens * PARTITIONS
    at_once = min(columns, PSUM_COLUMNS)
    gathered, written = QUARTERS * demand.gathered * demand.item, demand.written * OUTPUT_BYTES
    rows = cut.row_sets * cut.tokens * gathered + OLD_ROW_SETS * cut.tokens * written + max(written, gathered)
    tokens = tiles * columns * ACTIVATION_BYTES + 2 * PSUM_BANK_BYTES
    inner = demand.tiles * columns * ACTIVATION_BYTES + (2 * QUARTERS + 4) * at_once * 4
    exchange = 2 * demand.peers * cut.tokens * cut.down * 4
    inner += QUARTERS * cut.inner * columns * 4
    on_chip = min(cut.gate_up_pieces * cut.inner * TILE, demand.columns)
    weights = 2 * tiles * on_chip * demand.gate_up_bytes
    weights += demand.tiles * min(cut.down_pieces * cut.down, problem.H) * demand.down_bytes
    weights *= cut.weight_sets
    ids = min(max(demand.blocks, 1) * problem.tiles_per_block, ROUTING_COLUMNS)
    routing = 4 * (2 * 3 * ids + (3 + cut.weight_sets) * max(demand.blocks, 1) + 16 * problem.tiles_per_block)
    vectors = demand.written * demand.per_column + 2 * 4 * QUARTERS * 4 * demand.tiles
    return int(rows + tokens + inner + exchange + weights + routing + vectors) + SMALL_TILES
