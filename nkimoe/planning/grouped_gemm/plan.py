# SPDX-License-Identifier: Apache-2.0
"""From a grouped GEMM to what each core does, and what is on chip."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.errors import require
from nkimoe.planning.grouped_gemm.choice import BLOCKS_TO_SHARE, ITEM, GemmChoice, Split, token_bytes
from nkimoe.planning.grouped_gemm.pieces import ColumnPieces, row_group
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.mx.quantization import MX_DTYPES, PACKED_BYTES
from nkimoe.planning.problem import Problem
from nkimoe.planning.shares import BlockRange, block_range
from nkimoe.planning.targets import Target
from nkimoe.planning.tiling import (
    CONVERTED_PIECES,
    PARTITIONS,
    PSUM_BANK_BYTES,
    PSUM_COLUMNS,
    SMALL_TILES,
    Span,
    ceil_div,
    spans,
)
from nkimoe.spec import BlockShardStrategy

SCALE_SETS = 2  # of blocks: as they come, and for each partition or token
OUTPUT_SETS = 2  # rows of results: one set is filled, the one before is written
FP32_TILES = 12  # of a piece's width, between PSUM and the row of the result
CONVERTED_ROWS = 2  # tiles of tokens whose codes become numbers: one is transposed, the next one is converted
TABLE_BYTES = 5 * 4  # of a block: token, pair, weight, expert, and the expert to load


@dataclass(frozen=True)
class GemmTiling:
    """How tiles of 128 slots become columns (`stages/token_columns.py`)."""

    token_tiles: int
    token_slots: int
    row_group: int
    row_sets: int = 1
    transposes_per_bank: int = PSUM_BANK_BYTES // (PARTITIONS * ITEM)


@dataclass(frozen=True)
class GemmShare:
    """One core's part: these pieces of all columns, for these blocks."""

    blocks: BlockRange
    pieces: Span


@dataclass(frozen=True)
class GemmPlan:
    """How a grouped GEMM runs: in passes of some pieces of columns, all blocks in each; or all columns block by block.

    Attributes:
        problem: its sizes; I are the columns of the result.
        at_once: pieces of an expert's weights on chip; the results of so many leave together.
        split: what cores share, and in which order.
    """

    problem: Problem
    pieces: ColumnPieces
    tiling: GemmTiling
    at_once: int
    split: Split

    def share_of(self, core: int) -> GemmShare:
        """What `core` does."""
        N, cores, everything = self.problem.N, self.problem.cores, Span(0, self.pieces.count)
        if self.split is Split.COLUMNS:
            first, stop = (everything.size * n // cores for n in (core, core + 1))
            return GemmShare(BlockRange(0, 1, N), Span(first, stop - first))
        return GemmShare(block_range(BlockShardStrategy.HI_LO, N, cores, core), everything)

    def passes(self, share: GemmShare) -> list[Span]:
        """The pieces of each pass over the core's blocks: as few passes as can be, of equally many."""
        pieces = share.pieces
        if self.split is Split.WHOLE_BLOCKS:
            return [pieces]
        each = ceil_div(pieces.size, ceil_div(pieces.size, self.at_once))
        return spans(pieces.size, each, pieces.start)

    def columns_of(self, pieces: Span) -> Span:
        """Columns of the result."""
        first = pieces.start * self.pieces.width
        return Span(first, min(pieces.stop * self.pieces.width, self.problem.I) - first)


def make_gemm_plan(request: GemmRequest, cores: int, target: Target) -> GemmPlan:
    """Sizes from tensors, and the choice of the options as far as it goes.

    Raises:
        RequestError: the target has no such type, or a choice of `at_once` is for more room than there is.
    """
    _check_types(request, target)
    M, options = int(request.a.shape[0]), request.options
    pieces, blocks = _pieces_of(request), int(request.block_to_expert.shape[0])
    K, E = pieces.rows * PARTITIONS, int(request.b.shape[0])
    problem = Problem(M, K, options.block_size, E, blocks, options.columns, M, cores)
    split = _split(request, problem, pieces.count)
    fixed = _fixed_bytes(request, pieces, blocks)
    if split is Split.WHOLE_BLOCKS:
        fixed += pieces.count * pieces.columns * _vector_bytes(request)
    fit = (target.sbuf_bytes - fixed) // _piece_bytes(request, pieces)
    most = PSUM_COLUMNS // max((len(runs) for runs in request.runs or ()), default=1)  # their scales share a bank
    at_once = max(1, min(pieces.count, most, _at_once(options.choice, fit, target)))
    tiling = GemmTiling(problem.tiles_per_block, options.block_size, pieces.group)
    return GemmPlan(problem, pieces, tiling, at_once, split)


def _at_once(choice: GemmChoice, fit: int, target: Target) -> int:
    """Pieces on chip, of which `fit` find room."""
    if choice.at_once is None:
        return fit
    rule = f"leaves room for a piece of {choice.width} columns on {target.name}"
    require(fit > 0, "tuned", rule, f"blocks of {choice.block_size} slots", "Tune this layer again, or drop its row.")
    return min(fit, choice.at_once)


def _split(request: GemmRequest, problem: Problem, count: int) -> Split:
    """That of the choice where it can be. Weights that other engines work on come in passes, once for all blocks."""
    if count < problem.cores:
        return Split.BLOCKS
    chosen = request.options.choice.split
    if chosen is None or (chosen is Split.WHOLE_BLOCKS and not request.is_plain):
        return Split.BLOCKS if problem.N >= BLOCKS_TO_SHARE else Split.COLUMNS
    return chosen


def _check_types(request: GemmRequest, target: Target) -> None:
    is_right = target.has_mx or not request.is_mx
    require(is_right, "quantization", f"is no MX on {target.name}", request.b.dtype, "Dequantise the weights for it.")
    fix = "Convert it with nkimoe.weights.to_legacy_e4m3, or legacy_blocks."
    for name, dtype in (("b", str(request.b.dtype)), ("out_dtype", request.options.out_dtype)):
        is_right = not dtype.startswith("float8") or dtype in (*target.fp8_dtypes, *MX_DTYPES)
        require(is_right, name, f"is {', '.join(target.fp8_dtypes)} on {target.name}", dtype, fix)


def _pieces_of(request: GemmRequest) -> ColumnPieces:
    """How its weights are packed."""
    _, count, _, tiles, columns = (int(n) for n in request.b.shape)
    together, halves = request.rows_an_element, request.options.halves
    group = row_group(tiles * PARTITIONS) if request.scales_weights else together
    return ColumnPieces(count, columns // halves, halves, tiles * together, group)


def _fixed_bytes(request: GemmRequest, pieces: ColumnPieces, blocks: int) -> int:
    """Of a partition: tokens as rows and as columns, tables, what lies between PSUM and results, converted pieces."""
    tiles = ceil_div(request.options.block_size, PARTITIONS)
    # Columns of MX are of whole tiles; where other engines work on weights or products, tiles of a whole bank, too.
    slots = tiles * PARTITIONS if request.is_mx else request.options.block_size
    width = pieces.width if request.is_plain else PSUM_COLUMNS
    tokens = token_bytes(slots, pieces.rows * PARTITIONS)
    if request.gathers_codes:
        tokens += CONVERTED_ROWS * ITEM * pieces.rows * PARTITIONS
    converted = CONVERTED_PIECES * ITEM * pieces.rows * pieces.columns if request.is_converted else 0
    return tokens + TABLE_BYTES * tiles * blocks + FP32_TILES * 4 * width + converted + SMALL_TILES


def _vector_bytes(request: GemmRequest) -> int:
    """Of a partition and a column of weights: scale and bias."""
    return sum(4 for tensor in (request.scale, request.bias) if tensor is not None)


def _piece_bytes(request: GemmRequest, pieces: ColumnPieces) -> int:
    """Of a partition: weights, their scales and biases, and results."""
    result = (ITEM if request.options.summed is None else 4) * ceil_div(request.options.block_size, PARTITIONS)
    vectors = _vector_bytes(request)
    if request.is_mx:
        tiles = int(request.b.shape[3])
        elements = tiles * (PACKED_BYTES[str(request.b.dtype)] + 1)  # with a scale
        return pieces.columns * (elements + vectors) + OUTPUT_SETS * result * pieces.width
    item, tiles = ITEM if str(request.b.dtype) == request.options.compute_dtype else 1, int(request.b.shape[3])
    groups = () if request.groups is None else (request.groups.scale, request.groups.zero)
    item += sum(4 if str(tensor.dtype) == "float32" else ITEM for tensor in groups if tensor is not None)
    runs = max((len(runs) for runs in request.runs or ()), default=0)
    scales = SCALE_SETS * 4 * runs * pieces.rows
    return pieces.columns * (tiles * item + vectors) + OUTPUT_SETS * result * pieces.width + scales
