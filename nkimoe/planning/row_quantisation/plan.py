"""From a request to a plan: where smooth rows come from, what is on chip, who rounds how much."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nkimoe.errors import require
from nkimoe.planning.quantization import LARGEST_FP8
from nkimoe.planning.row_quantisation.request import INT8, RNE, RowQuantisation
from nkimoe.planning.row_quantisation.validate import code_type, sizes, validate_rows
from nkimoe.planning.targets import Target
from nkimoe.planning.tiling import PARTITIONS, SMALL_TILES, Span, ceil_div, spans

LEAST_SHARED_COLUMNS = 1024  # below, the start of another instruction costs more than sharing gains
PARTS = 3  # bf16 numbers that add up to an fp32 number exactly
SMOOTH_COLUMNS = (
    1536  # of the smooth rows that are on chip at a time: three PSUM banks, twice, leave two for transposes
)
SMOOTH_SETS = 3  # pieces of smooth rows on their way: one arrives, one waits, one is multiplied
VALUE_SETS = (3, 2, 1)  # from best
SPLIT_COLUMNS = 2048  # of the smooth rows that are cut into parts at a time
MOST_SELECTIONS = 6  # matmuls a piece, above which gathering costs less
ROUNDED_COLUMNS = 1024  # at a time, where rounding takes several passes
ROUNDING_BYTES = 9 * 4 + 1  # of a column then: nine tiles of fp32 and one of codes
SELECTED_SHARES = (0.55, 0.2)  # of the codes that the Scalar Engine and GpSimd round when smooth rows pass both


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
class RowPlan:
    """How rows will be quantised.

    Attributes:
        T, k, H, E: tokens, rows a token, columns, experts.
        expanded: x has a row for each choice.
        codes, largest: type of the codes, and what amax becomes.
        source: of smooth rows.
        value_sets: tiles of fp32 values on chip: 3, or as many as fit.
        scalar_columns, gpsimd_columns: columns whose codes these engines round; the Vector Engine has the others.
        cores: of the launch.
        sbuf_bytes: estimated SBUF use, bytes a partition.
    """

    T: int
    k: int
    H: int
    E: int
    expanded: bool
    codes: str
    largest: float
    source: SmoothSource
    value_sets: int
    scalar_columns: Span
    gpsimd_columns: Span
    cores: int
    sbuf_bytes: int

    @property
    def vector_columns(self) -> Span:
        """What the other two leave."""
        return Span(self.gpsimd_columns.stop, self.H - self.gpsimd_columns.stop)

    @property
    def ahead(self) -> int:
        """Tiles of rows whose values are computed before the codes of the one before."""
        return min(self.value_sets - 1, 2)

    def tokens_of(self, core: int) -> list[Span]:
        """The tiles of 128 tokens that `core` processes; cores take turns."""
        return spans(self.T, PARTITIONS)[core :: self.cores]


def make_row_plan(request: RowQuantisation, cores: int, target: Target) -> RowPlan:
    """Validate `request` and decide how to run it.

    Raises:
        RequestError: the request cannot be honoured.
    """
    validate_rows(request, target)
    shape = sizes(request.x)
    T, H, k = shape[0], shape[-1], sizes(request.topk_ids)[1] if request.topk_ids is not None else 1
    E = sizes(request.smooth_scale)[0] if request.topk_ids is not None else 1
    codes = code_type(request, target)
    source, value_sets, needed = _source(request, E, H, target)
    scalar, gpsimd = (int(H * share) for share in SELECTED_SHARES)
    if source is not SmoothSource.SELECTED or H < LEAST_SHARED_COLUMNS:
        scalar, gpsimd = H, 0
    return RowPlan(
        T=T, k=k, H=H, E=E, expanded=len(shape) == 3, codes=codes,
        largest=127.0 if codes == INT8 else LARGEST_FP8[codes], source=source, value_sets=value_sets,
        scalar_columns=Span(0, scalar), gpsimd_columns=Span(scalar, gpsimd), cores=cores, sbuf_bytes=needed,
    )  # fmt: skip


def _source(request: RowQuantisation, E: int, H: int, target: Target) -> tuple[SmoothSource, int, int]:
    """Where smooth rows come from, sets of values, and bytes: the best that fits."""
    if request.smooth_scale is None:
        candidates = [(SmoothSource.NONE, 2)]
    elif request.topk_ids is None:
        candidates = [(SmoothSource.ONE, sets) for sets in VALUE_SETS]
    else:
        selected = [SmoothSource.SELECTED] if ceil_div(PARTS * E, PARTITIONS) <= MOST_SELECTIONS else []
        candidates = [(source, sets) for source in (*selected, SmoothSource.GATHERED) for sets in VALUE_SETS]
    needs = [(source, sets, _sbuf_bytes(request, source, sets, (E, H))) for source, sets in candidates]
    fitting = [need for need in needs if need[2] <= target.sbuf_bytes]
    most = int(target.sbuf_bytes * H / min(need[2] for need in needs)) // PARTITIONS * PARTITIONS
    require(
        bool(fitting), "x", f"has rows that fit into SBUF: about {most} columns of {request.x.dtype}", H,
        "Quantise groups of columns with a scale each, or on the host.",
    )  # fmt: skip
    return fitting[0]


def _sbuf_bytes(request: RowQuantisation, source: SmoothSource, sets: int, E_H: tuple[int, int]) -> int:
    """Rows and codes of two tiles of tokens, values, smooth rows, and what rounding and splitting use."""
    E, H = E_H
    itemsize = 4 if str(request.x.dtype) == "float32" else 2
    pieces = SMOOTH_SETS * SMOOTH_COLUMNS * 4
    smooth = {
        SmoothSource.NONE: 0,
        SmoothSource.ONE: 4 * H,
        SmoothSource.GATHERED: pieces,
        SmoothSource.SELECTED: pieces + ceil_div(PARTS * E, PARTITIONS) * 2 * H + SPLIT_COLUMNS * (3 * 4 + PARTS * 2),
    }[source]
    rounding = 0 if request.rounding == RNE else ROUNDED_COLUMNS * ROUNDING_BYTES
    values = 0 if source is SmoothSource.NONE else sets * 4 * H  # x itself, of which there are two tiles, has no others
    return 2 * itemsize * H + values + 2 * H + smooth + rounding + SMALL_TILES
