"""The MX weights of the expert at hand, and how a projection uses them."""

from __future__ import annotations

from typing import Any

import nkimoe.kernels.stages.dense.weights as dense
from nkimoe.kernels.stages.dense.pieces import Pieces, Vector
from nkimoe.kernels.stages.mx.expert_tensors import GateUpPiece, MxExpertTensors
from nkimoe.kernels.stages.mx.hidden import Hidden
from nkimoe.kernels.stages.mx.inputs import Blockwise, Inputs, Static
from nkimoe.planning.mx.quantization import mx_down_of, mx_gate_up_of
from nkimoe.planning.mx.tiling import TILE, inner_tiles
from nkimoe.planning.plan import Plan
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import spans


class ExpertWeights(dense.ExpertWeights):
    """Weights, biases and limits of a request, on one core.

    Attributes:
        inner: its packed rows of I; pieces of gate or up count in these.
    """

    def _tensors(self, request: Request, plan: Plan, share: Share) -> MxExpertTensors:
        self.inner = inner_tiles(plan.problem.I, share.inner)
        matrices = mx_gate_up_of(request), mx_down_of(request)
        return MxExpertTensors(request, plan, share, self.projections, *matrices, tuple(self.inner))

    def _gate_up_pieces(self, plan: Plan, tensors: Any) -> Pieces:
        """All of gate before up: what replaces gate arrives while up is computed, and gate is activated meanwhile."""
        at_once = min(plan.tiling.gate_up_columns // TILE, len(self.inner))
        parts = spans(len(self.inner), at_once)
        pieces = [GateUpPiece(at, part) for part in parts for at in range(len(self.projections))]
        tiles = [tile for _ in parts[: plan.tiling.gate_up_tiles] for tile in tensors.gate_up_tiles(at_once)]
        return Pieces(pieces, tiles, tensors.load_gate_up)

    def _inputs(self, matrix: Any, tensors: Any, vectors: list[Vector]) -> Inputs:
        if matrix.in_scale is None:
            return Blockwise(tensors.request.compute_dtype)
        return Static(dense.kept(tensors.in_scale(matrix.in_scale), vectors))

    def hidden(self, tokens: int) -> Hidden:
        return Hidden(self.down_inputs, self.inner, tokens)
