# SPDX-License-Identifier: Apache-2.0
"""Everything the stages of the backward pass share while one call is traced."""

from __future__ import annotations

from dataclasses import dataclass

import nki.language as nl

from nkimoe.kernels.backward.activations import Activations
from nkimoe.kernels.backward.affinity_gradient import AffinityGradient
from nkimoe.kernels.backward.hidden_gradient import HiddenGradient
from nkimoe.kernels.backward.routing import BackwardRouting, BackwardStep
from nkimoe.kernels.backward.token_rows import GatheredRows, GatheredRowsAndOnes
from nkimoe.kernels.backward.weight_gradients import Targets, WeightGradients
from nkimoe.kernels.backward.weights import TurnedWeights
from nkimoe.kernels.backward.zeros import Zeros, clear_gates, clear_unused_experts
from nkimoe.kernels.shared_tensors import shared_tensor
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.backward.plan import BackwardPlan
from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.backward.tiling import D_OUTPUT_SETS, TOKEN_SETS


@dataclass(frozen=True)
class BackwardLayer:
    """One traced call on one core.

    Attributes:
        routing: its blocks; None on a second core that has none.
        tokens, d_output: rows of the hidden states, and of the gradient of the output.
        activations: gate and up as the forward pass kept them.
        weights: of the expert at hand.
        d_hidden, d_affinities, d_weights: gradients.
        returned: all gradients, in order.
    """

    request: BackwardRequest
    plan: BackwardPlan
    routing: BackwardRouting | None
    tokens: GatheredRows
    d_output: GatheredRows
    activations: Activations
    weights: TurnedWeights
    d_hidden: HiddenGradient
    d_affinities: AffinityGradient
    d_weights: WeightGradients
    returned: tuple[Tensor, ...]

    @classmethod
    def prepare(cls, request: BackwardRequest, plan: BackwardPlan) -> BackwardLayer:
        """Allocate the gradients and load what all blocks need."""
        p, own = plan.problem, plan.blocks_of(nl.program_id(0))
        d_hidden, d_affinities = (_gradient(request, name) for name in ("hidden_states", "expert_affinities_masked"))
        d_gate_up, d_down = (_gradient(request, name) for name in ("gate_up_proj_weight", "down_proj_weight"))
        biases = ("gate_and_up_proj_bias", "down_proj_bias")
        d_biases = [None if getattr(request, name) is None else _gradient(request, name) for name in biases]
        targets = Targets(d_gate_up, d_down, *d_biases)
        token_rows = GatheredRows if targets.gate_up_bias is None else GatheredRowsAndOnes
        sizes = (p.T, plan.tiling.token_tiles, request.compute_dtype)
        layer = cls(
            request, plan,
            routing=BackwardRouting(request, plan, own) if own.count else None,
            tokens=token_rows(request.hidden_states, *sizes, TOKEN_SETS),
            d_output=GatheredRows(request.output_hidden_states_grad, *sizes, D_OUTPUT_SETS),
            activations=Activations(request, plan),
            weights=TurnedWeights(request, plan),
            d_hidden=HiddenGradient(request, plan, d_hidden),
            d_affinities=AffinityGradient(plan, d_affinities, max(own.count, 1) * p.tiles_per_block),
            d_weights=WeightGradients(request, plan, targets),
            returned=(d_hidden, d_affinities, *targets.present),
        )  # fmt: skip
        layer._clear(targets)
        return layer

    def _clear(self, targets: Targets) -> None:
        """Zeros for everything that no block may write."""
        zeros = Zeros(self.request.hidden_states.dtype)
        self.d_affinities.clear(zeros)
        self.d_hidden.clear(Zeros(nl.float32))
        halves = targets.gates if self.request.skip_gate_proj else []
        whole = [target for target in targets.present if all(target is not half for half in halves)]
        clear_unused_experts(self.request, self.plan.problem.N, whole, halves, zeros)
        for target in halves:
            clear_gates(target, zeros)

    def start(self, step: BackwardStep) -> None:
        """Load what the first step needs."""
        self.d_output.gather(step)
        self.weights.load_down(step)
        self.activations.load(step)
        self.weights.load_gate_up(step)
        self.tokens.gather(step)
        self.d_hidden.load(step)

    def finish(self) -> tuple[Tensor, ...]:
        """The gradients, complete."""
        self.d_hidden.finish()
        return self.returned


def _gradient(request: BackwardRequest, name: str) -> Tensor:
    """Room for the gradient of an argument, in its shape and type."""
    tensor = getattr(request, name)
    return shared_tensor(tuple(tensor.shape), tensor.dtype, f"d_{name}")
