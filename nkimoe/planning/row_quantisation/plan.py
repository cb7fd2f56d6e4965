# SPDX-License-Identifier: Apache-2.0
"""From a request to a plan: sizes, what is on chip, who rounds how much."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.planning.quantization import LARGEST_FP8
from nkimoe.planning.row_quantisation.request import INT8, RowQuantisation
from nkimoe.planning.row_quantisation.tiling import RowTiling, SmoothSource, choose_row_tiling
from nkimoe.planning.row_quantisation.validate import code_type, sizes, validate_rows
from nkimoe.planning.targets import Target
from nkimoe.planning.tiling import PARTITIONS, Span, spans

SELECTED_SHARES = (0.55, 0.2)  # of the codes that the Scalar Engine and GpSimd round when smooth rows pass both
LEAST_SHARED_COLUMNS = 1024  # below, the start of another instruction costs more than sharing gains


@dataclass(frozen=True)
class RowPlan:
    """How rows will be quantised.

    Attributes:
        T, k, H, E: tokens, rows a token, columns, experts.
        stride: elements from row to row of the codes.
        expanded: x has a row for each choice.
        codes, largest: type of the codes, and what amax becomes.
        cores: of the launch.
    """

    T: int
    k: int
    H: int
    E: int
    stride: int
    expanded: bool
    codes: str
    largest: float
    tiling: RowTiling
    cores: int

    @property
    def windows(self) -> list[Span]:
        """Columns that are on chip at a time."""
        return spans(self.H, self.tiling.window)

    @property
    def ahead(self) -> int:
        """Tiles of rows whose values are computed before the codes of the one before."""
        return min(self.tiling.value_sets - 1, 2) if len(self.windows) == 1 else 0

    def shares(self, columns: int) -> tuple[Span, Span, Span]:
        """Of so many columns those whose codes the Scalar Engine, GpSimd and the Vector Engine round.

        GpSimd combines no fp8 tiles on a device.
        """
        scalar, gpsimd = columns, 0
        if self.tiling.source is SmoothSource.SELECTED and columns >= LEAST_SHARED_COLUMNS:
            scalar, gpsimd = (int(columns * share) for share in SELECTED_SHARES)
            gpsimd = gpsimd if self.codes == INT8 else 0
        return Span(0, scalar), Span(scalar, gpsimd), Span(scalar + gpsimd, columns - scalar - gpsimd)

    def tokens_of(self, core: int) -> list[Span]:
        """The tiles of 128 tokens that `core` processes; cores take turns."""
        return spans(self.T, PARTITIONS)[core :: self.cores]


def make_row_plan(request: RowQuantisation, cores: int, target: Target) -> RowPlan:
    """Validate `request` and decide how to run it.

    Raises:
        RequestError: the request cannot be honoured.
    """
    validate_rows(request, target)
    shape, by_expert = sizes(request.x), request.topk_ids is not None
    k, E = (sizes(request.topk_ids)[1], sizes(request.smooth_scale)[0]) if by_expert else (1, 1)
    codes = code_type(request, target)
    largest = 127.0 if codes == INT8 else LARGEST_FP8[codes]
    tiling = choose_row_tiling(request, E, target.sbuf_bytes)
    stride = shape[-1] if request.out_stride is None else int(request.out_stride)
    return RowPlan(shape[0], k, shape[-1], E, stride, len(shape) == 3, codes, largest, tiling, cores)
