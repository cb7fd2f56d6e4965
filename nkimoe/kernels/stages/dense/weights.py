"""The weights of the expert at hand, and how a projection uses them."""

from __future__ import annotations

from typing import Any

import nki.language as nl

from nkimoe.kernels.stages.dense.contract import contract
from nkimoe.kernels.stages.dense.expert_tensors import ExpertTensors
from nkimoe.kernels.stages.dense.inputs import Unquantised
from nkimoe.kernels.stages.dense.pieces import Pieces, Vector
from nkimoe.kernels.stages.element_steps import Steps, limit_steps
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.plan import Plan
from nkimoe.request import Request
from nkimoe.shares import Share
from nkimoe.tiling import Span, spans

GATE, UP = 0, 1


class ExpertWeights:
    """Weights, biases and limits of a request, on one core.

    Attributes:
        projections: GATE and UP, or UP alone.
        gate_up, down: the weights in pieces.
        gate_up_inputs, down_inputs: the form of the activations they are multiplied with.
    """

    def __init__(self, request: Request, plan: Plan, share: Share) -> None:
        self.projections = (UP,) if request.skip_gate_proj else (GATE, UP)
        self._share, self._H = share, plan.problem.H
        tensors = ExpertTensors(request, plan, share, self.projections, request.compute_dtype)
        t = plan.tiling
        columns = spans(share.inner.size, t.gate_up_columns)
        tiles = [tensors.gate_up_tile(span.size) for span in columns[: t.gate_up_tiles]]
        self.gate_up = Pieces(columns, tiles, tensors.load_gate_up)
        columns = down_pieces(plan.problem.H, share.written, t.down_columns)
        tiles = [tensors.down_tile(span.size) for span in columns[: t.down_tiles]]
        self.down = Pieces(columns, tiles, tensors.load_down)
        self.gate_up_inputs = self.down_inputs = Unquantised(request.compute_dtype)
        self._limits = {GATE: limit_steps(request.gate_clamp), UP: limit_steps(request.up_clamp)}
        self._gate_up_bias = self._down_bias = None
        if request.gate_and_up_proj_bias is not None:
            self._gate_up_bias = Vector(tensors.gate_up_bias_tile(), tensors.load_gate_up_bias)
        if request.down_proj_bias is not None:
            self._down_bias = Vector(tensors.down_bias_tile(), tensors.load_down_bias)
        self._vectors = [v for v in (self._gate_up_bias, self._down_bias) if v is not None]

    def fill(self, part: Part) -> None:
        """Load what the first part needs."""
        for vector in self._vectors:
            vector.fill(part)
        self.gate_up.fill(part)
        self.down.fill(part)

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
        """What follows the gate or up matmul of one tile of I: bias, then limits."""
        bias: Steps = ()
        if self._gate_up_bias is not None:
            bias = ((nl.add, self._gate_up_bias.tile[0:rows, which, tile : tile + 1]),)
        return (*bias, *self._limits[which])

    def bias_row(self, columns: Span) -> Any:
        """[1, columns] of the down bias, or None: without one, or where the other core adds it."""
        own = self._share.written
        if self._down_bias is None or not own.start <= columns.start < own.stop:
            return None
        return self._down_bias.tile[:, columns.start - own.start : columns.stop - own.start]


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
