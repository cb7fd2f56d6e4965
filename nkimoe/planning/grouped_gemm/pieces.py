# SPDX-License-Identifier: Apache-2.0
"""How the columns of a grouped GEMM are cut, and how its rows lie, which its weights are packed for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, ceil_div

MOST_ROWS = 16384  # K: beyond, tokens alone would fill SBUF
# Bytes of a partition that a piece of weights has as 16-bit numbers: so that two or more fit beside tokens at the
# largest K, those of int8 beside their codes, too, and one arrives while another is multiplied. With one piece, K of
# 8192 and 14336 were predicted 1.3 to 1.7 times slower.
PIECE_BYTES = 32768
CODES_A_BYTE = 2  # of int4
SHARED_COLUMNS = 256  # of a result: from here on there are two pieces for two cores
# Neighbouring rows of the contraction that share a partition: with more of them fewer instructions scale the blocks of
# a piece. Beyond eight a transpose would read rows of tokens at half rate.
ROW_GROUPS = (8, 4, 2, 1)


class Operands(Enum):
    """What the PE multiplies.

    PLAIN: 16-bit rows, weights as they come. CONVERTED: 16-bit rows, weights that other engines convert on chip. CODED:
    rows of codes or of MX elements; products of few tokens take as long as those of 128.
    """

    PLAIN = "plain"
    CONVERTED = "converted"
    CODED = "coded"


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


@dataclass(frozen=True)
class ProjectionSizes:
    """Weights of one projection, as far as it matters how they are cut.

    Attributes:
        K: rows of the contraction.
        columns: of the result.
        halves: columns of the product behind each.
        group: as of `ColumnPieces`.
        operands: what the PE multiplies.
    """

    K: int
    columns: int
    halves: int
    group: int = 1
    operands: Operands = Operands.PLAIN

    @property
    def rows(self) -> int:
        """Tiles of 128 rows of the contraction."""
        return ceil_div(self.K, PARTITIONS * self.group) * self.group

    @property
    def widest(self) -> int:
        """Columns of the result that a piece can have."""
        most = PIECE_BYTES // (2 * self.rows * self.halves)
        return min(PSUM_COLUMNS, max(most, 1))

    def width_of(self, count: int) -> int:
        """Of so many pieces of one width, or one more: from SHARED_COLUMNS on there are evenly many."""
        if self.columns >= SHARED_COLUMNS:
            count += count % 2
        return ceil_div(self.columns, count)

    def pieces(self, width: int) -> ColumnPieces:
        """All columns, in pieces of that width.

        >>> sizes = ProjectionSizes(K=4096, columns=14336, halves=1)
        >>> sizes.pieces(sizes.default_width)
        ColumnPieces(count=28, width=512, halves=1, rows=32, group=1)
        """
        return ColumnPieces(ceil_div(self.columns, width), width, self.halves, self.rows, self.group)

    @property
    def default_width(self) -> int:
        """As few pieces as PSUM and SBUF allow.

        >>> ProjectionSizes(16384, 1024, 1).default_width, ProjectionSizes(100, 7, 2).default_width
        (128, 7)
        """
        return self.width_of(ceil_div(self.columns, self.widest))


def row_group(K: int) -> int:
    """The most neighbouring rows that may share a partition without a tile more.

    >>> row_group(2048), row_group(300), row_group(1400)
    (8, 1, 1)
    """
    tiles = ceil_div(K, PARTITIONS)
    return next(group for group in ROW_GROUPS if tiles % group == 0)
