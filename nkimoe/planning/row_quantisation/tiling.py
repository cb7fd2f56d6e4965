# SPDX-License-Identifier: Apache-2.0
"""What of the rows is on chip at a time, and where their smooth rows come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from nkimoe.planning.row_quantisation.request import RNE, RowQuantisation
from nkimoe.planning.row_quantisation.validate import sizes
from nkimoe.planning.tiling import PARTITIONS, SMALL_TILES, ceil_div

PARTS = 3  # bf16 numbers that add up to an fp32 number exactly
SMOOTH_COLUMNS = 1536  # of smooth rows at a time: three PSUM banks, and twice that leaves two for transposes
SMOOTH_SETS = 3  # pieces of smooth rows on their way: one arrives, one waits, one is multiplied
SPLIT_COLUMNS = 2048  # of smooth rows that are cut into parts at a time
SPLIT_BYTES = 3 * 4 + 2  # of a column then: three tiles of fp32 and one part
MOST_SELECTIONS = 6  # matmuls a piece, above which gathering costs less
ROUNDED_COLUMNS = 1024  # at a time, where rounding takes several passes
ROUNDING_BYTES = 9 * 4 + 1  # of a column then: nine tiles of fp32 and one of codes
VALUE_SETS = (3, 2, 1)  # from best
WINDOW = 4096  # columns at a time of rows that do not fit


class SmoothSource(Enum):
    """Where the smooth rows of a tile of tokens come from.

    NONE: there are none. ONE: all tokens share one. SELECTED: the Tensor Engine picks them by a matrix of ones, from
    three bf16 parts of each number. GATHERED: a DMA fetches each by its expert's id.
    """

    NONE = "none"
    ONE = "one"
    SELECTED = "selected"
    GATHERED = "gathered"


@dataclass(frozen=True)
class RowTiling:
    """What is on chip.

    Attributes:
        source: of smooth rows.
        value_sets: tiles of fp32 values: 3, or as many as fit.
        window: columns on chip at a time: H, or fewer if whole rows do not fit. Then values are computed twice, for the
            maximum and for the codes.
        sbuf_bytes: estimated SBUF use, bytes a partition.
    """

    source: SmoothSource
    value_sets: int
    window: int
    sbuf_bytes: int


def choose_row_tiling(request: RowQuantisation, n_experts: int, sbuf_capacity: int) -> RowTiling:
    """The first way that fits; the last one always does."""
    ways = [*_ways(request, n_experts)]
    return next((way for way in ways if way.sbuf_bytes <= sbuf_capacity), ways[-1])


def _ways(request: RowQuantisation, E: int) -> Iterator[RowTiling]:
    """From best to smallest."""
    H = sizes(request.x)[-1]
    value_sets: tuple[int, ...] = VALUE_SETS
    if request.smooth_scale is None:
        source, value_sets = SmoothSource.NONE, VALUE_SETS[-2:]
    elif request.topk_ids is None:
        source = SmoothSource.ONE
    else:
        source = SmoothSource.GATHERED
        slots = ceil_div(PARTS * E, PARTITIONS)
        if slots <= MOST_SELECTIONS:
            for sets in VALUE_SETS:
                needed = 2 * slots * H + SPLIT_COLUMNS * SPLIT_BYTES + _sbuf_bytes(request, source, sets, H)
                yield RowTiling(SmoothSource.SELECTED, sets, H, needed)
    for sets in value_sets:
        yield RowTiling(source, sets, H, _sbuf_bytes(request, source, sets, H))
    window = min(H, WINDOW)
    yield RowTiling(source, 1, window, _sbuf_bytes(request, source, 1, window))


def _sbuf_bytes(request: RowQuantisation, source: SmoothSource, sets: int, columns: int) -> int:
    """Rows and codes of two tiles of tokens, values, smooth rows on their way, and what rounding uses."""
    itemsize = 4 if str(request.x.dtype) == "float32" else 2
    smooth = {SmoothSource.NONE: 0, SmoothSource.ONE: 4 * columns}.get(source, SMOOTH_SETS * SMOOTH_COLUMNS * 4)
    rounding = 0 if request.rounding == RNE else ROUNDED_COLUMNS * ROUNDING_BYTES
    values = 0 if source is SmoothSource.NONE else sets * 4 * columns  # without smooth rows x itself
    return 2 * (itemsize + 1) * columns + values + smooth + rounding + SMALL_TILES
