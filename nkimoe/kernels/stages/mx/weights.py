"""The MX weights of the expert at hand, and how a projection uses them."""

from __future__ import annotations

from typing import Any

import nkimoe.kernels.stages.dense.weights as dense
from nkimoe.kernels.stages.dense.pieces import Piece, Vector
from nkimoe.kernels.stages.mx.expert_tensors import MxExpertTensors
from nkimoe.kernels.stages.mx.hidden import Hidden
from nkimoe.kernels.stages.mx.inputs import Blockwise, Inputs, Static
from nkimoe.mx_quantization import mx_down_of, mx_gate_up_of
from nkimoe.mx_tiling import TILE, inner_tiles
from nkimoe.plan import Plan
from nkimoe.request import Request
from nkimoe.shares import Share
from nkimoe.tiling import Span, spans


class ExpertWeights(dense.ExpertWeights):
    """Weights, biases and limits of a request, on one core.

    Attributes:
        inner: its packed rows of I; pieces of gate and up count in these.
    """

    def _tensors(self, request: Request, plan: Plan, share: Share) -> MxExpertTensors:
        self.inner = inner_tiles(plan.problem.I, share.inner)
        matrices = mx_gate_up_of(request), mx_down_of(request)
        return MxExpertTensors(request, plan, share, self.projections, *matrices, tuple(self.inner))

    def _gate_up_pieces(self, plan: Plan) -> list[Piece]:
        every = Span(0, plan.problem.H)
        return [Piece(every, some) for some in spans(len(self.inner), plan.tiling.gate_up_columns // TILE)]

    def _inputs(self, matrix: Any, tensors: Any, vectors: list[Vector]) -> Inputs:
        if matrix.in_scale is None:
            return Blockwise(tensors.request.compute_dtype)
        return Static(dense.kept(tensors.in_scale(matrix.in_scale), vectors))

    def hidden(self, tokens: int) -> Hidden:
        return Hidden(self.down_inputs, self.inner, tokens)
