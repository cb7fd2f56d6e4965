# SPDX-License-Identifier: Apache-2.0
"""The MX weights of the expert at hand, and the activations they are multiplied with."""

from __future__ import annotations

from nkimoe.kernels.stages.dequantise import make_down_finish, make_gate_up_steps
from nkimoe.kernels.stages.down_pieces import down_pieces
from nkimoe.kernels.stages.expert_vectors import ExpertVectors
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.expert_tensors import DownTile, GateUpPiece, GateUpTile, MxTensors
from nkimoe.kernels.stages.mx.inner_vectors import PackedAlongInner
from nkimoe.kernels.stages.mx.inputs import mx_inputs
from nkimoe.kernels.stages.mx.intermediate import PackedIntermediate
from nkimoe.kernels.stages.products import projections_of
from nkimoe.kernels.stages.weight_pieces import MatrixPiece, Pieces, PiecesInTurn, fill
from nkimoe.planning.mx.coded_rows import is_coded
from nkimoe.planning.mx.quantization import mx_down_of, mx_gate_up_of
from nkimoe.planning.mx.tiling import TILE, inner_tiles
from nkimoe.planning.plan import Plan
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import spans


class MxWeights:
    """Weights, biases and limits of a request, on one core.

    Attributes:
        projections: GATE and UP, or UP alone.
        meets_coded_rows: hidden states come quantised.
        inner: its packed rows of I; pieces of gate or up count in these.
        gate_up, down: the weights in pieces. All of gate comes before up: what replaces gate arrives while up is
            computed, and gate is activated meanwhile.
        gate_up_inputs, down_inputs: the form of the activations they are multiplied with.
        gate_up_steps, down_finish: what follows the matmuls.
    """

    def __init__(self, request: Request, plan: Plan, share: Share) -> None:
        t, self.projections = plan.tiling, projections_of(request)
        self.meets_coded_rows = is_coded(request.hidden_states)
        self.inner = inner_tiles(plan.problem.I, share.inner)
        gate_up, down = mx_gate_up_of(request), mx_down_of(request)
        tensors = MxTensors(self.projections, gate_up, down, tuple(self.inner), plan.problem.B, t.weight_sets)
        at_once = min(t.gate_up_columns // TILE, len(self.inner))
        parts = spans(len(self.inner), at_once)
        pieces = [GateUpPiece(at, part) for part in parts for at in range(len(self.projections))]
        sets, kind = range(t.weight_sets), PiecesInTurn if t.weight_sets > 1 else Pieces
        tiles = [tile for _ in sets for _ in parts[: t.gate_up_tiles] for tile in tensors.gate_up_tiles(at_once)]
        self.gate_up: Pieces[GateUpPiece, GateUpTile] = kind(pieces, tiles, tensors.load_gate_up)
        columns = down_pieces(plan.problem.H, share, t.down_columns, t.sent_ahead)
        down_tiles = [tensors.down_tile(piece) for _ in sets for piece in columns[: t.down_tiles]]
        self.down: Pieces[MatrixPiece, DownTile] = kind(columns, down_tiles, tensors.load_down)
        small = ExpertVectors(request, share, PackedAlongInner(plan.problem.I, self.inner))
        with_gate_up, with_down = self.gate_up.vectors, self.down.vectors
        self.gate_up_inputs = mx_inputs(gate_up, request.compute_dtype, small, with_gate_up)
        self.down_inputs = mx_inputs(down, request.compute_dtype, small, with_down)
        self.gate_up_steps = make_gate_up_steps(
            request, gate_up.scale, self.gate_up_inputs.in_scale, small, with_gate_up
        )
        self.down_finish = make_down_finish(
            request, share.written, down.scale, self.down_inputs.in_scale, small, with_down
        )

    def room(self, part: Part) -> PackedIntermediate:
        """Room for act(gate) * up of a part."""
        return PackedIntermediate(self.down_inputs, self.inner, part.slots)

    def fill(self, part: Part) -> None:
        """Load what the first part needs."""
        fill(self.gate_up, self.down, part)
