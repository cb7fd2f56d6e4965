"""How the columns of a grouped GEMM are cut, and how its rows lie, which its weights are packed for."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, ceil_div

MOST_ROWS = 16384  # K: beyond, tokens alone would fill SBUF
# Bytes of a partition that a piece of weights has as 16-bit numbers: so that two fit beside tokens at the largest K.
# Those of int8 are converted, two at a time, beside their codes.
PIECE_BYTES, CONVERTED_PIECE_BYTES = 65536, 32768
# (pairs an expert has on average, rows K at most, slots of a block): while a larger block is multiplied, weights of the
# next expert arrive piece by piece; but the last block of an expert is half empty, and tokens take room from weights.
# Predicted best, at 512 to 2048 pairs an expert and K from 1024 to 4096.
BLOCK_SIZES = ((1536, 4096, 512), (448, 2048, 256))
SMALLEST_BLOCK = PARTITIONS
CODES_A_BYTE = 2  # of int4
SHARED_COLUMNS = 256  # of a result: from here on there are two pieces for two cores
# Neighbouring rows of the contraction that share a partition: with more of them fewer instructions scale the blocks of
# a piece. Beyond eight a transpose would read rows of tokens at half rate.
ROW_GROUPS = (8, 4, 2, 1)


@dataclass(frozen=True)
class ColumnPieces:
    """Columns of the result in pieces of one width, the last perhaps not full.

    Attributes:
        halves: columns of the product behind each.
        rows: tiles of 128 rows of the contraction, a multiple of `group`.
        group: neighbouring rows that share a partition (`stages/token_columns.hidden_rows`); of int4 two.
    """

    count: int
    width: int
    halves: int
    rows: int
    group: int = 1

    @property
    def columns(self) -> int:
        """Of the product, in one piece."""
        return self.halves * self.width


def gemm_block_size(pairs: int, experts: int, K: int) -> int:
    """Slots of a block.

    >>> gemm_block_size(4096, 8, 1024), gemm_block_size(64, 8, 1024), gemm_block_size(4096, 8, 16384)
    (256, 128, 128)
    """
    fitting = (size for least, most, size in BLOCK_SIZES if pairs >= least * experts and most >= K)
    return next(fitting, SMALLEST_BLOCK)


def row_group(K: int) -> int:
    """The most neighbouring rows that may share a partition without a tile more.

    >>> row_group(2048), row_group(300), row_group(1400)
    (8, 1, 1)
    """
    tiles = ceil_div(K, PARTITIONS)
    return next(group for group in ROW_GROUPS if tiles % group == 0)


def pieces_of(K: int, columns: int, halves: int, converted: bool, group: int = 1) -> ColumnPieces:
    """As few as PSUM and SBUF allow, an even number of them, equally wide.

    Args:
        converted: weights become 16-bit numbers on chip.
        group: as of `ColumnPieces`.

    >>> pieces_of(4096, 14336, 1, False)
    ColumnPieces(count=28, width=512, halves=1, rows=32, group=1)
    >>> pieces_of(16384, 1024, 1, False)
    ColumnPieces(count=4, width=256, halves=1, rows=128, group=1)
    >>> pieces_of(100, 7, 2, False)
    ColumnPieces(count=1, width=7, halves=2, rows=1, group=1)
    """
    rows = ceil_div(K, PARTITIONS * group) * group
    most = (CONVERTED_PIECE_BYTES if converted else PIECE_BYTES) // (2 * rows * halves)
    count = ceil_div(columns, min(PSUM_COLUMNS, max(most, 1)))
    if columns >= SHARED_COLUMNS:
        count += count % 2
    width = ceil_div(columns, count)
    return ColumnPieces(ceil_div(columns, width), width, halves, rows, group)
