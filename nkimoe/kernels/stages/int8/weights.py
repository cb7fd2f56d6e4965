# SPDX-License-Identifier: Apache-2.0
"""The int8 weights of the expert at hand."""

from __future__ import annotations

from nkimoe.kernels.stages.across_columns import AcrossColumns
from nkimoe.kernels.stages.dequantise import make_down_finish, make_gate_up_steps
from nkimoe.kernels.stages.exchange import largest_across_cores
from nkimoe.kernels.stages.expert_vectors import ExpertVectors
from nkimoe.kernels.stages.int8.exact_sum import ExactSum
from nkimoe.kernels.stages.int8.intermediate import CodedIntermediate, SmoothedIntermediate, of_one_core
from nkimoe.kernels.stages.int8.smooth import SmoothVectors
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.products import projections_of
from nkimoe.kernels.stages.sums import Sum
from nkimoe.kernels.stages.tiled_inner import TiledAlongInner
from nkimoe.kernels.stages.tiled_weights import tiled_pieces
from nkimoe.kernels.stages.weight_pieces import fill
from nkimoe.kernels.tensor import DType
from nkimoe.planning.plan import Plan
from nkimoe.planning.quantization import down_of, exact_rows, gate_up_of
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share


class Int8Weights:
    """Weights, scales, biases and limits of a request, on one core.

    Attributes:
        dtype: of codes as the PE takes them, and of act(gate) * up before it is quantised.
        smooth: what activations are multiplied with before they are quantised, or None.
        across: moves scales of tokens beside them.
        projections: GATE and UP, or UP alone.
        inner_rows: columns of I of a tile.
        gate_up, down: the weights in pieces, converted as they are used.
        gate_up_steps, down_finish: what follows the matmuls.
    """

    def __init__(self, request: Request, plan: Plan, share: Share) -> None:
        self.dtype: DType = request.compute_dtype
        self._H, self._inner, self._exact_rows = plan.problem.H, share.inner.size, exact_rows(request)
        self._over_cores = largest_across_cores if plan.halves_intermediate else of_one_core
        self.across, self.inner_rows = AcrossColumns(), plan.tiling.inner_rows
        self.projections = projections_of(request)
        self.gate_up, self.down = tiled_pieces(request, plan, share, self.projections)
        along = TiledAlongInner(plan, share)
        small = ExpertVectors(request, share, along)
        self.smooth = (
            None if request.smooth is None else SmoothVectors(request.smooth, small, along, self.gate_up.vectors)
        )
        self.gate_up_steps = make_gate_up_steps(request, gate_up_of(request).scale, None, small, self.gate_up.vectors)
        self.down_finish = make_down_finish(
            request, share.written, down_of(request).scale, None, small, self.down.vectors
        )

    def room(self, part: Part) -> CodedIntermediate:
        """Room for act(gate) * up of a part."""
        size = (self.inner_rows, self._inner), part.slots
        if self.smooth is not None:
            return SmoothedIntermediate(self.dtype, *size, self.across, self.smooth.intermediate.tile)
        return CodedIntermediate(self.dtype, *size, self.across, self._over_cores)

    def fill(self, part: Part) -> None:
        """Load what the first part needs."""
        fill(self.gate_up, self.down, part)

    def gate_up_sum(self, rows: int, columns: int) -> Sum:
        """Of products [columns of I, tokens]."""
        return ExactSum(rows, columns, self._H, self._exact_rows)

    def down_sum(self, rows: int, columns: int) -> Sum:
        """Of products [tokens, columns of H]."""
        return ExactSum(rows, columns, self._inner, self._exact_rows)
