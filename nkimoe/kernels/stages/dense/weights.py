# SPDX-License-Identifier: Apache-2.0
"""The weights of the expert at hand, and the activations they are multiplied with."""

from __future__ import annotations

from nkimoe.kernels.stages.dense.inputs import BesideRows, Unquantised, dense_inputs
from nkimoe.kernels.stages.dense.intermediate import Intermediate
from nkimoe.kernels.stages.dequantise import make_down_finish, make_gate_up_steps
from nkimoe.kernels.stages.expert_vectors import ExpertVectors, behind_weights, beside_weights
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.products import projections_of
from nkimoe.kernels.stages.sums import PsumSum, Sum
from nkimoe.kernels.stages.tiled_inner import TiledAlongInner
from nkimoe.kernels.stages.tiled_weights import tiled_pieces
from nkimoe.kernels.stages.weight_pieces import fill
from nkimoe.planning.plan import Plan
from nkimoe.planning.quantization import ROW, down_of, gate_up_of
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share


class DenseWeights:
    """Weights, biases and limits of a request, on one core.

    Attributes:
        projections: GATE and UP, or UP alone.
        inner_rows: columns of I of a tile.
        gate_up, down: the weights in pieces.
        gate_up_inputs, down_inputs: the form of the activations they are multiplied with.
        gate_up_steps, down_finish: what follows the matmuls.
    """

    def __init__(self, request: Request, plan: Plan, share: Share) -> None:
        self._inner, self.projections = share.inner.size, projections_of(request)
        self.inner_rows = plan.tiling.inner_rows
        gate_up, down = gate_up_of(request), down_of(request)
        self.gate_up, self.down = tiled_pieces(request, plan, share, self.projections)
        load = behind_weights if gate_up.is_converted or down.is_converted else beside_weights
        small = ExpertVectors(request, share, TiledAlongInner(plan, share, load), load)
        with_gate_up, with_down = self.gate_up.vectors, self.down.vectors
        has_row = down.product_scale is not None and down.product_scale.layout == ROW
        kind = BesideRows if has_row else Unquantised
        self.gate_up_inputs = dense_inputs(gate_up, kind, request.compute_dtype, small, with_gate_up)
        self.down_inputs = dense_inputs(down, kind, request.compute_dtype, small, with_down)
        self.gate_up_steps = make_gate_up_steps(
            request, gate_up.product_scale, self.gate_up_inputs.in_scale, small, with_gate_up
        )
        self.down_finish = make_down_finish(
            request, share.written, down.product_scale, self.down_inputs.in_scale, small, with_down
        )

    def room(self, part: Part) -> Intermediate:
        """Room for act(gate) * up of a part."""
        return Intermediate(self.down_inputs, self.inner_rows, self._inner, part.slots)

    def fill(self, part: Part) -> None:
        """Load what the first part needs."""
        fill(self.gate_up, self.down, part)

    def gate_up_sum(self, rows: int, columns: int) -> Sum:
        """Of products [columns of I, tokens]."""
        return PsumSum(rows, columns, self.gate_up_inputs.tiles_at_once)

    def down_sum(self, rows: int, columns: int) -> Sum:
        """Of products [tokens, columns of H], over this core's part of I."""
        return PsumSum(rows, columns, self.down_inputs.tiles_at_once)
