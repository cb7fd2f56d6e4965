# SPDX-License-Identifier: Apache-2.0
"""The only arithmetic on sizes: how a problem is cut so that it fits on chip."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from nkimoe.errors import RequestError
from nkimoe.planning.problem import Problem

# What the hardware says.
PARTITIONS, QUADRANT = 128, 32  # an MX operand spans whole quadrants of partitions
PSUM_BANKS, PSUM_BANK_BYTES = 8, 2048
PSUM_COLUMNS = PSUM_BANK_BYTES // 4  # fp32 columns of a PSUM bank
OUTPUT_BYTES = 2  # bf16 or fp16
GOOD_ROW_BYTES = 2048  # DMA runs of this length reach 81 % of the plateau (DMA overview, 128 partitions); 1 KiB, 42 %
ROW_DESCRIPTOR = 2048  # bytes of a row that GpSimd describes at a time where rows are gathered or scattered
STREAM_ROW_BYTES = 16  # beyond this step an engine reads SBUF at half rate (architecture guide of Trainium 2)

# What was chosen. "Predicted" means by nkisim, on the layers of benchmarks/shapes.py, in program order: no device has
# confirmed any of these.
ROUTING_COLUMNS = 512  # tiles of slots whose ids and affinity rows are on chip at a time: 2 KiB a table and partition
# Weights loaded together: large enough for long DMA runs, small enough that the PE starts before all are there and a
# piece is replaced while the rest of the part computes. Whole experts in one piece each were predicted slower.
PIECE_ROWS, DOWN_PIECE = 1024, 1024  # rows of H of gate/up weights; columns of H of down weights
# Times as long, of fp8 weights, which are half as many bytes, where blocks share experts: fewer transfers are started.
# Predicted with fp8 rows: Qwen3-30B TP 4 at 4,096 tokens in blocks of 128 1,749 to 1,627 us, gpt-oss-20b TP 8 at 8,192
# in blocks of 256 2,840 to 2,793; in blocks of 64 and 96, each of which meets new weights, 2 to 19 % slower, and OLMoE
# TP 2 at 4,096 in blocks of 128, whose gate and up would be one piece of 2 MiB, 10 %.
LONGER, WHOLE_MATRIX = 2, 2**20  # times; bytes of gate and up in one piece
SUM_BANKS = PSUM_BANKS // 2  # gate/up sums wait here for the rest of the rows of H; transposes and down have the others
STREAMED_TILES = 16  # tiles of 128 slots that share a pass of weights too large to stay: what fits at H of 4096
EXCHANGES = 3  # PSUM banks of partial sums on their way to the other core: one arrives, one waits, one is added
OLD_ROW_SETS = 2  # old output rows of this part, and of the one before until they are written
CONVERTED_PIECES = 2  # pieces of codes as 16-bit numbers: one is multiplied, the next one is converted
# A pass takes as long whatever partitions it fills; a row that is gathered or scattered takes GpSimd 27 ns. Predicted
# on Qwen3-30B TP 4: with int8 or fp8 weights in blocks of 64 and 32 GpSimd can take a share of other work, in blocks of
# 320 the layer gets 10 % slower by that.
FEW_SLOTS = 64
SUMMED_BYTES = 32768  # of a partition: choices of 128 tokens whose rows are added at a time
SMALL_TILES = 4096  # bytes of a partition for what the sum leaves out: identity, ones, limits, index and mask tiles


class Span(NamedTuple):
    """A range of indices."""

    start: int
    size: int

    @property
    def stop(self) -> int:
        return self.start + self.size

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)

    def shared(self, other: Span) -> Span:
        """The indices that are in both."""
        start = max(self.start, other.start)
        return Span(start, max(0, min(self.stop, other.stop) - start))


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def spans(total: int, size: int, start: int = 0) -> list[Span]:
    """`total` indices from `start` in pieces of at most `size`.

    >>> spans(192, 128)
    [Span(start=0, size=128), Span(start=128, size=64)]
    """
    return [Span(at, min(size, start + total - at)) for at in range(start, start + total, size)]


@dataclass(frozen=True)
class Demand:
    """What one core has to hold: the widths of its share, and bytes an element.

    Attributes:
        inner: columns of I it computes.
        gathered, written: columns of H it gathers, and writes results for.
        peers: cores that work on the same blocks and exchange partial sums.
        blocks: how many it processes.
        item: bytes of the compute dtype.
        gate_up_item, down_item: bytes of a weight on chip.
        per_column: bytes of bias and scales for each column of H that is written.
        scaled_row: bytes of token rows that are scaled before they are transposed.
        gate_up_converted, down_converted: bytes of a weight that is converted on chip, in its second form; else 0.
        gate_up_block, down_block: rows and columns of a weight that share a scale; 0 if whole columns do, or all.
        coded: bytes of act(gate) * up in the forms it takes before the one that is multiplied.
        results: bytes of each column of H that is written, until it is, with what it is added to; a tile of tokens.
        smoothed: bytes of a token row in the forms it takes before it is transposed, a tile of tokens.
        smooth: bytes of what each column of H is smoothed with.
        scale_table: bytes of the scales of all tokens, if they may be looked up on chip; else 0.
    """

    inner: int
    gathered: int
    written: int
    peers: int
    blocks: int
    item: int
    gate_up_item: int
    down_item: int
    per_column: int
    scaled_row: int
    gate_up_converted: int = 0
    down_converted: int = 0
    gate_up_block: int = 0
    down_block: int = 0
    coded: int = 0
    results: int = OLD_ROW_SETS * OUTPUT_BYTES
    smoothed: int = 0
    smooth: int = 0
    scale_table: int = 0

    @property
    def is_gate_up_fp8(self) -> bool:
        """Gate and up weights are multiplied as they come, a byte each."""
        return self.gate_up_item == 1 and not self.gate_up_converted

    @property
    def is_down_fp8(self) -> bool:
        """Likewise, down weights."""
        return self.down_item == 1 and not self.down_converted


@dataclass(frozen=True)
class Tiling:
    """How the sizes are cut.

    Attributes:
        token_tiles: tiles of 128 slots that go through the MLP together.
        row_sets: parts whose token rows are on chip: one, or the next one's arrive while this one's are transposed.
        row_group: consecutive rows of H that share a partition, so that weight DMAs have long rows.
        gate_up_rows, gate_up_columns, down_columns: sizes of the pieces that gate/up and down weights are loaded in.
        inner_rows: columns of I that are the partitions of a tile: 128, or as many as make all tiles alike.
        gate_up_tiles, down_tiles: pieces on chip at a time.
        weight_sets: experts on chip: one, or the next block's arrive while this one's are used.
        sent_ahead: pieces of the other core's columns that are computed before the first piece of own columns.
        weights_fit: whether all pieces of an expert are on chip at once.
        transposes_per_bank: 128x128 transposes that share a PSUM bank and one eviction.
        has_scale_table: scales of tokens are looked up on chip: there is room for all.
        sbuf_bytes: estimated SBUF use, bytes a partition.
    """

    token_tiles: int
    row_sets: int
    row_group: int
    gate_up_rows: int
    gate_up_columns: int
    down_columns: int
    inner_rows: int
    gate_up_tiles: int
    down_tiles: int
    weight_sets: int
    sent_ahead: int
    weights_fit: bool
    transposes_per_bank: int
    sbuf_bytes: int
    has_scale_table: bool = False

    @property
    def token_slots(self) -> int:
        """Slots of those tiles."""
        return self.token_tiles * PARTITIONS


@dataclass(frozen=True)
class _Cut:
    """A candidate: token tiles, sizes of pieces, how many are on chip, and how many are sent ahead."""

    tokens: int
    rows: int
    gate_up: int
    down: int
    gate_up_tiles: int
    down_tiles: int
    sent_ahead: int


def choose_tiling(problem: Problem, demand: Demand, sbuf_capacity: int) -> Tiling:
    """The first tiling that fits, preferring whole experts on chip, then more tokens at a time.

    Raises:
        RequestError: nothing fits.
    """
    for cut in _candidates(problem, demand):
        needed = _sbuf_bytes(problem, demand, cut)
        if needed <= sbuf_capacity:
            tiling = _tiling(problem, demand, cut, needed)
            has_room = needed + demand.scale_table <= sbuf_capacity
            return _with_scale_table(tiling, demand.scale_table) if demand.scale_table and has_room else tiling
    raise RequestError(
        "down_proj_weight",
        f"one tile of 128 tokens with its weights fits in {sbuf_capacity} bytes of SBUF a partition",
        f"{needed} bytes for H={problem.H}, I={problem.I}",
        "Split I over more ranks (tensor parallelism), or compute in bfloat16.",
    )


def _with_scale_table(tiling: Tiling, nbytes: int) -> Tiling:
    return replace(tiling, has_scale_table=True, sbuf_bytes=tiling.sbuf_bytes + nbytes)


def _tiling(problem: Problem, demand: Demand, cut: _Cut, needed: int) -> Tiling:
    whole_rows, has_blocks = cut.gate_up >= problem.I, demand.gate_up_block or demand.down_block
    return Tiling(
        token_tiles=cut.tokens,
        row_sets=1,
        row_group=_row_group(math.gcd(demand.gathered, cut.rows), problem.I, demand.gate_up_item) if whole_rows else 1,
        gate_up_rows=cut.rows,
        gate_up_columns=cut.gate_up,
        down_columns=cut.down,
        inner_rows=PARTITIONS if has_blocks or cut.gate_up < demand.inner else alike_rows(demand.inner),
        gate_up_tiles=cut.gate_up_tiles,
        down_tiles=cut.down_tiles,
        weight_sets=1,
        sent_ahead=cut.sent_ahead,
        weights_fit=_is_whole(problem, demand, cut),
        transposes_per_bank=PSUM_BANK_BYTES // (PARTITIONS * demand.item),
        sbuf_bytes=needed,
    )


def _is_whole(problem: Problem, demand: Demand, cut: _Cut) -> bool:
    return (cut.gate_up_tiles, cut.down_tiles) == _pieces(problem, demand, cut.rows, cut.gate_up, cut.down)


def _pieces(problem: Problem, demand: Demand, rows: int, gate_up: int, down: int) -> tuple[int, int]:
    """How many pieces of gate/up and of down weights an expert has on this core."""
    gate_up_pieces = ceil_div(demand.inner, gate_up) * ceil_div(problem.H, rows)
    return gate_up_pieces, problem.H // demand.written * ceil_div(demand.written, down)


def _candidates(problem: Problem, demand: Demand) -> Iterator[_Cut]:
    tiles = problem.tiles_per_block
    is_cut = problem.H > LONGER * PIECE_ROWS or 2 * problem.H * demand.inner <= WHOLE_MATRIX
    may_be_longer = problem.B >= PARTITIONS and not demand.peers and is_cut
    longer = LONGER if may_be_longer and demand.is_gate_up_fp8 else 1
    down = min(demand.written, DOWN_PIECE * (LONGER if may_be_longer and demand.is_down_fp8 else 1))
    for tokens in range(min(tiles, PSUM_COLUMNS // PARTITIONS), 0, -1):
        rows, gate_up = min(problem.H, PIECE_ROWS * longer), even_width(demand.inner, summed_columns(tokens))
        for sent_ahead in _sent_ahead(demand, down):
            yield _Cut(tokens, rows, gate_up, down, *_pieces(problem, demand, rows, gate_up, down), sent_ahead)
    for tokens in range(min(tiles, STREAMED_TILES), 0, -1):
        for rows, columns, gate_up_tiles, width, down_tiles in _streamed_pieces(problem, summed_columns(tokens)):
            sizes = (rows, even_width(demand.inner, columns), min(width, demand.written))
            gate_up, down = _pieces(problem, demand, *sizes)
            yield _Cut(tokens, *sizes, min(gate_up_tiles, gate_up), min(down_tiles, down), 1)


# Weights too large to stay, from the most SBUF to the least: the first cut that fits is taken. The order follows one
# rule: long DMA runs first, then more pieces on their way, then less of both. It was predicted best for gpt-oss-120b
# EP 4 TP 2, Mixtral TP 16, DeepSeek-V3 and Llama-4-Scout, the layers whose experts stream.
# As many columns of gate/up as PSUM can sum: (rows of H, pieces on chip, columns of a down piece, these on chip).
_WIDE = (
    (1024, 4, 1024, 4), (1024, 4, 1024, 3), (512, 4, 1024, 3), (512, 4, 512, 4), (512, 4, 512, 3), (256, 6, 512, 3),
    (512, 4, 512, 2), (256, 6, 512, 2), (256, 4, 256, 2),
)  # fmt: skip
# 256 rows of H: (columns of I, pieces on chip, columns of a down piece, these on chip); the last one is the least.
_NARROW = ((512, 4, 256, 2), (256, 4, 256, 2), (128, 4, 256, 2), (128, 4, 128, 2), (128, 2, 128, 1))


def _sent_ahead(demand: Demand, down: int) -> list[int]:
    """All of the other core's pieces first, so that sums have time to travel; or one."""
    return [ceil_div(demand.written, down), 1] if demand.peers else [1]


def _streamed_pieces(problem: Problem, most: int) -> list[tuple[int, int, int, int, int]]:
    """Rows and columns of pieces of gate/up weights and how many, columns of down weights and how many: the best first.

    Where not even one tile of sums fits (`most` is 0), all rows come in one piece.
    """
    if not most:
        return [(problem.H, c, 2, d, 2) for c in (512, 384, 256, 128) for d in (1024, 512, 256, 128)]
    cuts = [(rows, most, tiles, width, down_tiles) for rows, tiles, width, down_tiles in _WIDE]
    cuts += [(256, min(most, columns), tiles, width, down_tiles) for columns, tiles, width, down_tiles in _NARROW]
    return [(min(problem.H, rows), columns, tiles, width, n) for rows, columns, tiles, width, n in cuts]


def summed_columns(tokens: int) -> int:
    """Columns of I whose gate and up sums for so many tiles of tokens fit in SUM_BANKS; 0: not even one tile.

    >>> summed_columns(1), summed_columns(2), summed_columns(4), summed_columns(8), summed_columns(9)
    (1024, 512, 256, 128, 0)
    """
    columns = tokens * PARTITIONS
    sums_per_bank = max(1, PSUM_COLUMNS // columns)
    return SUM_BANKS * sums_per_bank // (2 * ceil_div(columns, PSUM_COLUMNS)) * PARTITIONS


def even_width(total: int, most: int) -> int:
    """The width of pieces that are about equal, whole tiles wide, and at most `most`.

    >>> even_width(768, 512), even_width(500, 512)
    (384, 500)
    """
    pieces = ceil_div(total, most)
    return total if pieces == 1 else ceil_div(ceil_div(total, pieces), PARTITIONS) * PARTITIONS


def alike_rows(inner: int) -> int:
    """Rows of each of as few tiles as there are of 128, if they can be alike: a transfer and an instruction for all
    tiles, where a shorter last one needs its own. 128 if not.

    >>> alike_rows(192), alike_rows(1792), alike_rows(101), alike_rows(301)
    (96, 128, 101, 128)
    """
    tiles = ceil_div(inner, PARTITIONS)
    return inner // tiles if inner % tiles == 0 else PARTITIONS


def _sbuf_bytes(problem: Problem, demand: Demand, cut: _Cut) -> int:
    """Bytes a partition of everything alive at once; see the stages for the tiles."""
    h_tiles, i_tiles = problem.H // PARTITIONS, ceil_div(demand.inner, PARTITIONS)
    columns = cut.tokens * PARTITIONS
    at_once = min(columns, PSUM_COLUMNS)
    gathered, written = demand.gathered * demand.item, demand.written * demand.results
    smoothed = demand.gathered * demand.smoothed  # transposed before results of the part before come
    rows = cut.tokens * (gathered + max(smoothed, written))
    tokens = h_tiles * columns * demand.item
    inner = i_tiles * columns * (demand.item + demand.coded) + 6 * at_once * 4 + demand.scaled_row
    waiting = min(cut.sent_ahead * cut.down, demand.written) * cut.tokens
    exchange = demand.peers * (waiting + EXCHANGES * PSUM_COLUMNS) * 4
    piece = cut.rows // PARTITIONS * min(cut.gate_up, demand.inner)
    weights = 2 * min(cut.gate_up_tiles * piece, h_tiles * demand.inner) * demand.gate_up_item
    weights += i_tiles * min(cut.down_tiles * cut.down, problem.H) * demand.down_item
    weights += CONVERTED_PIECES * 2 * piece * demand.gate_up_converted
    weights += CONVERTED_PIECES * i_tiles * min(cut.down, problem.H) * demand.down_converted
    columns_of_ids = min(demand.blocks * problem.tiles_per_block, ROUTING_COLUMNS)
    routing = 4 * (2 * 3 * columns_of_ids + 4 * demand.blocks + 8 * problem.tiles_per_block)
    vectors = demand.written * demand.per_column + demand.gathered * demand.smooth + 8 * i_tiles * 4
    vectors += _block_scale_bytes(problem, demand)
    return rows + tokens + inner + exchange + weights + routing + vectors + SMALL_TILES


def _block_scale_bytes(problem: Problem, demand: Demand) -> int:
    """Scales of blocks as they arrive and on all partitions, and which partitions have which, if a share starts inside
    a block.
    """
    total, h_tiles, i_tiles = 0, problem.H // PARTITIONS, ceil_div(demand.inner, PARTITIONS)
    if demand.gate_up_block:
        total += (h_tiles + 1) * 2 * (demand.inner // demand.gate_up_block + 2) * 4
    if demand.down_block:
        is_inside = demand.inner < problem.I and demand.inner % demand.down_block
        total += (i_tiles + 1) * ceil_div(problem.H, demand.down_block) * 4
        total += i_tiles * PARTITIONS * 4 if is_inside else 0
    return total


def _row_group(hidden: int, columns: int, itemsize: int) -> int:
    """Smallest power of two whose rows of weights make a long DMA run, while transposes still stream."""
    group = 1
    while (
        group * 2 * columns * itemsize < GOOD_ROW_BYTES
        and group * 2 * itemsize <= STREAM_ROW_BYTES
        and (hidden // PARTITIONS) % (group * 2) == 0
    ):
        group *= 2
    return group
