"""How the columns of a grouped GEMM are cut, which its weights are packed for."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, ceil_div

MOST_ROWS = 16384  # K: beyond, tokens alone would fill SBUF
# Bytes of a partition that a piece of weights has as 16-bit numbers: so that two fit beside tokens at the largest K.
# Those of int8 are converted, two at a time, beside their codes.
PIECE_BYTES, CONVERTED_PIECE_BYTES = 65536, 32768
SHARED_COLUMNS = 256  # of a result: from here on there are two pieces for two cores


@dataclass(frozen=True)
class ColumnPieces:
    """Columns of the result in pieces of one width, the last perhaps not full.

    Attributes:
        halves: columns of the product behind each.
        rows: tiles of 128 rows of the contraction; of int4 an even number.
    """

    count: int
    width: int
    halves: int
    rows: int

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
        converted: weights become 16-bit numbers on chip.
        rows_together: rows of the contraction that share a byte.
    """

    K: int
    columns: int
    halves: int
    converted: bool
    rows_together: int = 1

    @property
    def rows(self) -> int:
        """Tiles of 128 rows of the contraction."""
        return ceil_div(self.K, PARTITIONS * self.rows_together) * self.rows_together

    @property
    def widest(self) -> int:
        """Columns of the result that a piece can have."""
        most = (CONVERTED_PIECE_BYTES if self.converted else PIECE_BYTES) // (2 * self.rows * self.halves)
        return min(PSUM_COLUMNS, max(most, 1))

    def width_of(self, count: int) -> int:
        """Of so many pieces of one width, or one more: from SHARED_COLUMNS on there are evenly many."""
        if self.columns >= SHARED_COLUMNS:
            count += count % 2
        return ceil_div(self.columns, count)

    def pieces(self, width: int) -> ColumnPieces:
        """All columns, in pieces of that width.

        >>> sizes = ProjectionSizes(K=4096, columns=14336, halves=1, converted=False)
        >>> sizes.pieces(sizes.default_width)
        ColumnPieces(count=28, width=512, halves=1, rows=32)
        """
        return ColumnPieces(ceil_div(self.columns, width), width, self.halves, self.rows)

    @property
    def default_width(self) -> int:
        """As few pieces as PSUM and SBUF allow.

        >>> ProjectionSizes(16384, 1024, 1, False).default_width, ProjectionSizes(100, 7, 2, False).default_width
        (256, 7)
        """
        return self.width_of(ceil_div(self.columns, self.widest))
