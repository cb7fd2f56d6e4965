"""The weights of the expert at hand, and how a projection uses them."""

from __future__ import annotations

from typing import Any

from nkimoe.kernels.stages.dense.contract import contract
from nkimoe.kernels.stages.dense.dequantise import GATE, UP, DownFinish, GateUpSteps
from nkimoe.kernels.stages.dense.expert_tensors import ExpertTensors
from nkimoe.kernels.stages.dense.inputs import Quantised, Unquantised
from nkimoe.kernels.stages.dense.pieces import Pieces, Vector
from nkimoe.kernels.stages.element_steps import Steps, limit_steps
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.plan import Plan
from nkimoe.quantization import Matrix, down_of, gate_up_of
from nkimoe.request import Request
from nkimoe.shares import Share
from nkimoe.tiling import Span, spans


class ExpertWeights:
    """Weights, biases and limits of a request, on one core.

    Attributes:
        projections: GATE and UP, or UP alone.
        gate_up, down: the weights in pieces.
        gate_up_inputs, down_inputs: the form of the activations they are multiplied with.
        down_finish: what follows the down matmul.
    """

    def __init__(self, request: Request, plan: Plan, share: Share) -> None:
        self.projections = (UP,) if request.skip_gate_proj else (GATE, UP)
        self._share, self._H, t = share, plan.problem.H, plan.tiling
        gate_up, down = gate_up_of(request), down_of(request)
        tensors = ExpertTensors(request, plan, share, self.projections, gate_up, down)
        columns = spans(share.inner.size, t.gate_up_columns)
        tiles = [tensors.gate_up_tile(span.size) for span in columns[: t.gate_up_tiles]]
        self.gate_up = Pieces(columns, tiles, tensors.load_gate_up)
        columns = down_pieces(plan.problem.H, share.written, t.down_columns)
        tiles = [tensors.down_tile(span.size) for span in columns[: t.down_tiles]]
        self.down = Pieces(columns, tiles, tensors.load_down)
        self._vectors: list[Vector] = []
        self.gate_up_inputs = self._inputs(gate_up, tensors, request.compute_dtype)
        self.down_inputs = self._inputs(down, tensors, request.compute_dtype)
        limits = {GATE: limit_steps(request.gate_clamp), UP: limit_steps(request.up_clamp)}
        bias = request.gate_and_up_proj_bias
        self._gate_up = GateUpSteps(
            limits,
            None if gate_up.scale is None else self._kept(tensors.gate_up_scale(gate_up.scale)),
            None if bias is None else self._kept(tensors.gate_up_bias()),
            self.gate_up_inputs,
        )
        self.down_finish = DownFinish(
            share.written,
            None if down.scale is None else self._kept(tensors.down_scale(down.scale)),
            None if request.down_proj_bias is None else self._kept(tensors.down_bias()),
            self.down_inputs,
        )

    def _kept(self, vector: Vector) -> Vector:
        """A vector that is loaded with the weights."""
        self._vectors.append(vector)
        return vector

    def _inputs(self, matrix: Matrix, tensors: ExpertTensors, dtype: Any) -> Unquantised | Quantised:
        if matrix.in_scale is None:
            return Unquantised(dtype)
        return Quantised(matrix.input_dtype, self._kept(tensors.in_scale(matrix.in_scale)))

    def fill(self, part: Part) -> None:
        """Load what the first part needs."""
        for vector in self._vectors:
            vector.fill(part)
        self.gate_up.fill(part)
        self.down.fill(part)

    def open(self, part: Part) -> None:
        """Combine what a new block's vectors say."""
        if part.opens_block:
            for prepared in (self.gate_up_inputs, self.down_inputs, self._gate_up, self.down_finish):
                prepared.open()

    def leave(self, following: Part | None) -> None:
        """The part is done with its expert."""
        for vector in self._vectors:
            vector.replace(following)

    def contract_gate_up(self, dst: Any, weights: Any, tokens: Any) -> None:
        """dst [columns, tokens] = weights.T @ tokens over H."""
        contract(dst, weights, tokens, self._H, self.gate_up_inputs.tiles_at_once)

    def contract_down(self, dst: Any, hidden: Any, weights: Any) -> None:
        """dst [tokens, columns] = hidden.T @ weights over this core's part of I."""
        contract(dst, hidden, weights, self._share.inner.size, self.down_inputs.tiles_at_once)

    def steps_of(self, which: int, tile: int, rows: int) -> Steps:
        """What follows the gate or up matmul of one tile of I: dequantisation, bias, limits."""
        return self._gate_up.of(which, tile, rows)


def down_pieces(H: int, written: Span, width: int) -> list[Span]:
    """Pieces of columns of H: each piece of the other core's columns before the piece of own columns it pairs with.

    >>> [(s.start, s.size) for s in down_pieces(512, Span(256, 256), 128)]
    [(0, 128), (256, 128), (128, 128), (384, 128)]
    """
    own = spans(written.size, width, written.start)
    if written.size == H:
        return own
    others = spans(written.size, width, written.size - written.start)
    return [span for pair in zip(others, own, strict=True) for span in pair]
