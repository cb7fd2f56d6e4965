"""From a grouped GEMM to what each core does, and what is on chip."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.errors import require
from nkimoe.planning.grouped_gemm.choice import GemmChoice, Split
from nkimoe.planning.grouped_gemm.pieces import ColumnPieces
from nkimoe.planning.grouped_gemm.request import GemmRequest
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

TOKEN_SETS = 2  # tokens as columns: one tile is multiplied, the next one is transposed
OUTPUT_SETS = 2  # rows of results: one set is filled, the one before is written
FP32_TILES = 12  # of a piece's width, between PSUM and the row of the result
TABLE_BYTES = 5 * 4  # of a block: token, pair, weight, expert, and the expert to load
ITEM = 2  # bytes of a matmul operand
BLOCKS_TO_SHARE = 8  # from here on cores share blocks; of fewer, one core has too few too often: columns are shared


@dataclass(frozen=True)
class GemmTiling:
    """How tiles of 128 slots become columns (`stages/token_columns.py`)."""

    token_tiles: int
    row_group: int
    transposes_per_bank: int = PSUM_BANK_BYTES // (PARTITIONS * ITEM)


@dataclass(frozen=True)
class GemmShare:
    """One core's part: these pieces of all columns, for these blocks."""

    blocks: BlockRange
    pieces: Span


@dataclass(frozen=True)
class GemmPlan:
    """How a grouped GEMM runs: for some pieces of columns at a time, all blocks.

    So each expert's weights are loaded once, behind the last use of those before; tokens are gathered once a pass.

    Attributes:
        problem: its sizes; I are the columns of the result.
        at_once: pieces of an expert's weights on chip.
        split: what cores share.
    """

    problem: Problem
    pieces: ColumnPieces
    tiling: GemmTiling
    at_once: int
    split: Split

    def share_of(self, core: int) -> GemmShare:
        """What `core` does."""
        N, cores, everything = self.problem.N, self.problem.cores, Span(0, self.pieces.count)
        if self.split is Split.BLOCKS:
            return GemmShare(block_range(BlockShardStrategy.HI_LO, N, cores, core), everything)
        first, stop = (everything.size * n // cores for n in (core, core + 1))
        return GemmShare(BlockRange(0, 1, N), Span(first, stop - first))

    def passes(self, share: GemmShare) -> list[Span]:
        """The pieces of each pass over the core's blocks: as few passes as can be, of equally many."""
        pieces = share.pieces
        each = ceil_div(pieces.size, ceil_div(pieces.size, self.at_once))
        return spans(pieces.size, each, pieces.start)

    def columns_of(self, pieces: Span) -> Span:
        """Columns of the result."""
        first = pieces.start * self.pieces.width
        return Span(first, min(pieces.stop * self.pieces.width, self.problem.I) - first)


def make_gemm_plan(request: GemmRequest, cores: int, target: Target) -> GemmPlan:
    """Sizes from tensors, and the choice of the options as far as it goes.

    Raises:
        RequestError: the target's PE takes no such weights, or a choice of `at_once` is for more room than there is.
    """
    dtype, known = str(request.b.dtype), target.fp8_dtypes
    is_right = not dtype.startswith("float8") or dtype in known
    require(is_right, "b", f"is {', '.join(known)} on {target.name}", dtype, "Convert it with nkimoe.weights.")
    (M, K), options = (int(n) for n in request.a.shape), request.options
    E, count, _, _, columns = (int(n) for n in request.b.shape)
    pieces = ColumnPieces(count, columns // options.halves, options.halves, K // PARTITIONS)
    blocks = int(request.block_to_expert.shape[0])
    problem = Problem(M, K, options.block_size, E, blocks, options.columns, M, cores)
    tiling = GemmTiling(problem.tiles_per_block, K // PARTITIONS // int(request.b.shape[3]))
    fit = (target.sbuf_bytes - _fixed_bytes(request, pieces, blocks)) // _piece_bytes(request, pieces)
    at_once = max(1, min(count, _at_once(options.choice, fit, target)))
    return GemmPlan(problem, pieces, tiling, at_once, _split(options.choice, problem, count))


def _at_once(choice: GemmChoice, fit: int, target: Target) -> int:
    """Pieces on chip, of which `fit` find room."""
    if choice.at_once is None:
        return fit
    rule = f"leaves room for a piece of {choice.width} columns on {target.name}"
    require(fit > 0, "tuned", rule, f"blocks of {choice.block_size} slots", "Tune this layer again, or drop its row.")
    return min(fit, choice.at_once)


def _split(choice: GemmChoice, problem: Problem, count: int) -> Split:
    if count < problem.cores:
        return Split.BLOCKS
    return choice.split or (Split.BLOCKS if problem.N >= BLOCKS_TO_SHARE else Split.COLUMNS)


def is_converted(request: GemmRequest) -> bool:
    """Whether weights become 16-bit numbers on chip."""
    return str(request.b.dtype) in ("int8", "uint8")


def _fixed_bytes(request: GemmRequest, pieces: ColumnPieces, blocks: int) -> int:
    """Of a partition: tokens as rows and as columns, tables, what lies between PSUM and results, converted pieces."""
    tiles = request.options.block_size // PARTITIONS
    tokens = tiles * (1 + TOKEN_SETS) * ITEM * pieces.rows * PARTITIONS
    converted = CONVERTED_PIECES * ITEM * pieces.rows * pieces.columns if is_converted(request) else 0
    return tokens + TABLE_BYTES * tiles * blocks + FP32_TILES * 4 * PSUM_COLUMNS + converted + SMALL_TILES


def _piece_bytes(request: GemmRequest, pieces: ColumnPieces) -> int:
    """Of a partition: weights, their scales and biases, and results."""
    result = (ITEM if request.options.summed is None else 4) * (request.options.block_size // PARTITIONS)
    vectors = sum(4 for tensor in (request.scale, request.bias) if tensor is not None)
    item, tiles = ITEM if str(request.b.dtype) == request.options.compute_dtype else 1, int(request.b.shape[3])
    groups = () if request.groups is None else (request.groups.scale, request.groups.zero)
    item += sum(4 if str(tensor.dtype) == "float32" else ITEM for tensor in groups if tensor is not None)
    return pieces.columns * (tiles * item + vectors) + OUTPUT_SETS * result * pieces.width
