"""The weights of the expert at hand, and the activations they are multiplied with."""

from __future__ import annotations

from nkimoe.kernels.stages.contract import contract
from nkimoe.kernels.stages.dense.expert_tensors import DenseTensors
from nkimoe.kernels.stages.dense.inner_vectors import TiledAlongInner
from nkimoe.kernels.stages.dense.inputs import dense_inputs
from nkimoe.kernels.stages.dense.intermediate import Intermediate
from nkimoe.kernels.stages.dequantise import make_down_finish, make_gate_up_steps
from nkimoe.kernels.stages.down_pieces import down_pieces
from nkimoe.kernels.stages.expert_vectors import ExpertVectors
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.products import projections_of
from nkimoe.kernels.stages.weight_pieces import MatrixPiece, Pieces, fill
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.plan import Plan
from nkimoe.planning.quantization import down_of, gate_up_of
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import PARTITIONS, Span, spans


class DenseWeights:
    """Weights, biases and limits of a request, on one core.

    Attributes:
        projections: GATE and UP, or UP alone.
        gate_up, down: the weights in pieces.
        gate_up_inputs, down_inputs: the form of the activations they are multiplied with.
        gate_up_steps, down_finish: what follows the matmuls.
    """

    def __init__(self, request: Request, plan: Plan, share: Share) -> None:
        t, self._inner, self.projections = plan.tiling, share.inner.size, projections_of(request)
        gate_up, down = gate_up_of(request), down_of(request)
        tensors = DenseTensors(request, plan, share, self.projections, gate_up, down)
        pieces = gate_up_pieces(plan.problem.H, self._inner, t.gate_up_rows, t.gate_up_columns)
        tiles = [tensors.gate_up_tile(piece) for piece in pieces[: t.gate_up_tiles]]
        self.gate_up = Pieces(pieces, tiles, tensors.load_gate_up)
        pieces = down_pieces(plan.problem.H, share, t.down_columns, t.sent_ahead)
        tiles = [tensors.down_tile(piece) for piece in pieces[: t.down_tiles]]
        self.down = Pieces(pieces, tiles, tensors.load_down)
        small = ExpertVectors(request, share, TiledAlongInner(plan.problem.I, share.inner))
        with_gate_up, with_down = self.gate_up.vectors, self.down.vectors
        self.gate_up_inputs = dense_inputs(gate_up, request.compute_dtype, small, with_gate_up)
        self.down_inputs = dense_inputs(down, request.compute_dtype, small, with_down)
        self.gate_up_steps = make_gate_up_steps(
            request, gate_up.scale, self.gate_up_inputs.in_scale, small, with_gate_up
        )
        self.down_finish = make_down_finish(
            request, share.written, down.scale, self.down_inputs.in_scale, small, with_down
        )

    def room(self, part: Part) -> Intermediate:
        """Room for act(gate) * up of a part."""
        return Intermediate(self.down_inputs, self._inner, part.tiles.size * PARTITIONS)

    def fill(self, part: Part) -> None:
        """Load what the first part needs."""
        fill(self.gate_up, self.down, part)

    def contract_gate_up(self, dst: Tensor, weights: Tensor, tokens: Tensor, rows: Span) -> None:
        """dst [columns, tokens] = weights.T @ tokens over rows of H, added to those before."""
        contract(dst, weights, tokens, rows, self.gate_up_inputs.tiles_at_once)

    def contract_down(self, dst: Tensor, intermediate: Tensor, weights: Tensor, rows: Span) -> None:
        """dst [tokens, columns] = intermediate.T @ weights over this core's part of I."""
        contract(dst, intermediate, weights, rows, self.down_inputs.tiles_at_once)


def gate_up_pieces(H: int, inner: int, rows: int, columns: int) -> list[MatrixPiece]:
    """Pieces of the gate and up weights, all rows of some columns before the next columns.

    >>> [(tuple(p.rows), tuple(p.columns)) for p in gate_up_pieces(384, 512, 256, 512)]
    [((0, 256), (0, 512)), ((256, 128), (0, 512))]
    """
    return [
        MatrixPiece(some_rows, some_columns) for some_columns in spans(inner, columns) for some_rows in spans(H, rows)
    ]
