"""Where results go: a row of its own for each pair."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.output_rows import Slab, my_share, zero_rows
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.grouped_gemm.plan import GemmPlan
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.tiling import PARTITIONS, Span


class ResultRows:
    """[M * choices, columns]; rows of pairs that have no slot are zero.

    Attributes:
        tensor: what the kernel returns.
    """

    def __init__(self, request: GemmRequest, plan: GemmPlan, dtype: DType) -> None:
        self._rows, self._pitch, self._dtype = plan.problem.T * request.options.choices, plan.problem.I, dtype
        shape = (self._rows, self._pitch)
        self.tensor: Tensor = nl.ndarray(shape, dtype=dtype, buffer=nl.shared_hbm, name="results")
        if request.options.has_gaps:
            zero_rows(self._slab(Span(0, self._pitch)), my_share(self._rows))
            if plan.problem.cores > 1:
                nisa.core_barrier(data=self.tensor, cores=(0, 1))

    def rows(self, columns: Span) -> Tensor:
        """Room for some columns of a tile of pairs."""
        tile: Tensor = nl.ndarray((PARTITIONS, columns.size), dtype=self._dtype, buffer=nl.sbuf)
        return tile

    def write(self, rows: Tensor, columns: Span, part: Part) -> None:
        """Scatter them; pad slots are out of bounds and write nothing."""
        place = self._slab(columns).at(part.pairs[0], self._rows)
        nisa.dma_copy(dst=place, src=rows, oob_mode=nisa.oob_mode.skip, name=part.block.name)

    def _slab(self, columns: Span) -> Slab:
        return Slab(self.tensor, self._rows, columns, self._pitch)
