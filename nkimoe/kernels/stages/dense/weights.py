"""The weights of the expert at hand, and how a projection uses them."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from nkimoe.kernels.stages.dense.contract import contract
from nkimoe.kernels.stages.dense.dequantise import GATE, UP, DownFinish, GateUpSteps
from nkimoe.kernels.stages.dense.expert_tensors import ExpertTensors
from nkimoe.kernels.stages.dense.hidden import Hidden
from nkimoe.kernels.stages.dense.inputs import Quantised, Unquantised
from nkimoe.kernels.stages.dense.pieces import Piece, Pieces, Vector
from nkimoe.kernels.stages.element_steps import Steps, limit_steps
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.planning.plan import Plan
from nkimoe.planning.quantization import Matrix, down_of, gate_up_of
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import Span, spans


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
        t, self._inner = plan.tiling, share.inner.size
        tensors = self._tensors(request, plan, share)
        gate_up, down = tensors.gate_up, tensors.down
        self.gate_up = self._gate_up_pieces(plan, tensors)
        pieces = down_pieces(plan.problem.H, share, t.down_columns, t.sent_ahead)
        tiles = [tensors.down_tile(piece) for piece in pieces[: t.down_tiles]]
        self.down = Pieces(pieces, tiles, tensors.load_down)
        self._gate_up_vectors: list[Vector] = []
        self._down_vectors: list[Vector] = []
        self.gate_up_inputs = self._inputs(gate_up, tensors, self._gate_up_vectors)
        self.down_inputs = self._inputs(down, tensors, self._down_vectors)
        limits = {GATE: limit_steps(request.gate_clamp), UP: limit_steps(request.up_clamp)}
        bias = request.gate_and_up_proj_bias
        self._gate_up = GateUpSteps(
            limits,
            None if gate_up.scale is None else kept(tensors.gate_up_scale(gate_up.scale), self._gate_up_vectors),
            None if bias is None else kept(tensors.gate_up_bias(), self._gate_up_vectors),
            self.gate_up_inputs,
        )
        self.down_finish = DownFinish(
            share.written,
            None if down.scale is None else kept(tensors.down_scale(down.scale), self._down_vectors),
            None if request.down_proj_bias is None else kept(tensors.down_bias(), self._down_vectors),
            self.down_inputs,
        )

    def _tensors(self, request: Request, plan: Plan, share: Share) -> ExpertTensors:
        return ExpertTensors(request, plan, share, self.projections, gate_up_of(request), down_of(request))

    def _gate_up_pieces(self, plan: Plan, tensors: Any) -> Pieces:
        t = plan.tiling
        pieces = gate_up_pieces(plan.problem.H, self._inner, t.gate_up_rows, t.gate_up_columns)
        tiles = [tensors.gate_up_tile(piece) for piece in pieces[: t.gate_up_tiles]]
        return Pieces(pieces, tiles, tensors.load_gate_up)

    def _inputs(self, matrix: Matrix, tensors: ExpertTensors, vectors: list[Vector]) -> Any:
        if matrix.in_scale is None:
            return Unquantised(tensors.request.compute_dtype)
        return Quantised(matrix.input_dtype, kept(tensors.in_scale(matrix.in_scale), vectors))

    def hidden(self, tokens: int) -> Any:
        """Room for act(gate) * up of so many tokens."""
        return Hidden(self.down_inputs, self._inner, tokens)

    def fill(self, part: Part) -> None:
        """Load what the first part needs."""
        for vector in (*self._gate_up_vectors, *self._down_vectors):
            vector.fill(part)
        self.gate_up.fill(part)
        self.down.fill(part)
        for prepared in (self.gate_up_inputs, self._gate_up, self.down_inputs, self.down_finish):
            prepared.open()

    def leave_gate_up(self, following: Part | None) -> None:
        """The part's gate and up projections are through."""
        _turn_to(following, self._gate_up_vectors, (self.gate_up_inputs, self._gate_up))

    def leave_down(self, following: Part | None) -> None:
        """The part's down projection is through."""
        _turn_to(following, self._down_vectors, (self.down_inputs, self.down_finish))

    def contract_gate_up(self, dst: Any, weights: Any, tokens: Any, rows: Span) -> None:
        """dst [columns, tokens] = weights.T @ tokens over rows of H, added to those before."""
        contract(dst, weights, tokens, rows, self.gate_up_inputs.tiles_at_once)

    def contract_down(self, dst: Any, hidden: Any, weights: Any, rows: Span) -> None:
        """dst [tokens, columns] = hidden.T @ weights over this core's part of I."""
        contract(dst, hidden, weights, rows, self.down_inputs.tiles_at_once)

    def steps_of(self, which: int, tile: int, rows: int) -> Steps:
        """What follows the gate or up matmul of one tile of I: dequantisation, bias, limits."""
        return self._gate_up.of(which, tile, rows)


def kept(vector: Vector, vectors: list[Vector]) -> Vector:
    """A vector that is loaded with the weights."""
    vectors.append(vector)
    return vector


def _turn_to(following: Part | None, vectors: list[Vector], prepared: tuple[Any, ...]) -> None:
    """Load the vectors of the following block, and combine what they say."""
    if following is not None and following.opens_block:
        for vector in vectors:
            vector.replace(following)
        for each in prepared:
            each.open()


def gate_up_pieces(H: int, inner: int, rows: int, columns: int) -> list[Piece]:
    """Pieces of the gate and up weights, all rows of some columns before the next columns.

    >>> [(tuple(p.rows), tuple(p.columns)) for p in gate_up_pieces(384, 512, 256, 512)]
    [((0, 256), (0, 512)), ((256, 128), (0, 512))]
    """
    return [Piece(some_rows, some_columns) for some_columns in spans(inner, columns) for some_rows in spans(H, rows)]


def down_pieces(H: int, share: Share, width: int, ahead: int) -> list[Piece]:
    """All rows of some columns of H; the other core's columns run `ahead` of the own ones they are swapped for.

    >>> from nkimoe.planning.shares import BlockRange
    >>> share = Share(BlockRange(0, 1, 1), Span(0, 128), Span(256, 256), Span(256, 256))
    >>> [tuple(piece.columns) for piece in down_pieces(512, share, 128, 1)]
    [(0, 128), (256, 128), (128, 128), (384, 128)]
    >>> [tuple(piece.columns) for piece in down_pieces(512, share, 128, 2)]
    [(0, 128), (128, 128), (256, 128), (384, 128)]
    """
    written = share.written
    columns = own = spans(written.size, width, written.start)
    if written.size < H:
        others = spans(written.size, width, written.size - written.start)
        pairs = zip_longest(own, others[ahead:])
        columns = [*others[:ahead], *(span for pair in pairs for span in pair if span is not None)]
    return [Piece(Span(0, share.inner.size), span) for span in columns]
