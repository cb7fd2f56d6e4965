"""Everything the stages of the backward pass share while one call is traced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nki.language as nl

from nkimoe.kernels.backward.activations import Activations
from nkimoe.kernels.backward.affinity_gradient import AffinityGradient
from nkimoe.kernels.backward.hidden_gradient import HiddenGradient
from nkimoe.kernels.backward.routing import BackwardRouting, BackwardStep
from nkimoe.kernels.backward.token_rows import GatheredRows, GatheredRowsAndOnes
from nkimoe.kernels.backward.weight_gradients import Targets, WeightGradients
from nkimoe.kernels.backward.weights import TurnedWeights
from nkimoe.kernels.backward.zeros import Zeros, clear_gates, clear_unused_experts
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
        hidden, affinity, d_weights: gradients.
        returned: all gradients, in order.
    """

    request: BackwardRequest
    plan: BackwardPlan
    routing: BackwardRouting | None
    tokens: GatheredRows
    d_output: GatheredRows
    activations: Activations
    weights: TurnedWeights
    hidden: HiddenGradient
    affinity: AffinityGradient
    d_weights: WeightGradients
    returned: tuple[Any, ...]

    @classmethod
    def prepare(cls, request: BackwardRequest, plan: BackwardPlan) -> BackwardLayer:
        """Allocate the gradients and load what all blocks need."""
        p, own = plan.problem, plan.blocks_of(nl.program_id(0))
        like = {
            "hidden_states": request.hidden_states,
            "expert_affinities_masked": request.expert_affinities_masked,
            "gate_up_proj_weight": request.gate_up_proj_weight,
            "down_proj_weight": request.down_proj_weight,
            "gate_and_up_proj_bias": request.gate_and_up_proj_bias,
            "down_proj_bias": request.down_proj_bias,
        }
        grads = [
            None
            if tensor is None
            else nl.ndarray(tuple(tensor.shape), dtype=tensor.dtype, buffer=nl.shared_hbm, name=f"d_{name}")
            for name, tensor in like.items()
        ]
        targets = Targets(*grads[2:])
        token_rows = GatheredRows if targets.gate_up_bias is None else GatheredRowsAndOnes
        sizes = (p.T, plan.tiling.token_tiles, request.compute_dtype)
        layer = cls(
            request, plan,
            routing=BackwardRouting(request, plan, own) if own.count else None,
            tokens=token_rows(request.hidden_states, *sizes, TOKEN_SETS),
            d_output=GatheredRows(request.output_hidden_states_grad, *sizes, D_OUTPUT_SETS),
            activations=Activations(request, plan),
            weights=TurnedWeights(request, plan),
            hidden=HiddenGradient(request, plan, grads[0]),
            affinity=AffinityGradient(plan, grads[1], max(own.count, 1) * p.tiles_per_block),
            d_weights=WeightGradients(request, plan, targets),
            returned=tuple(grad for grad in grads if grad is not None),
        )  # fmt: skip
        layer._clear(targets)
        return layer

    def _clear(self, targets: Targets) -> None:
        """Zeros for everything that no block may write."""
        zeros = Zeros(self.request.hidden_states.dtype)
        self.affinity.clear(zeros)
        self.hidden.clear(Zeros(nl.float32))
        present = [target for target in targets if target is not None]
        clear_unused_experts(self.request, self.plan.problem.N, present, zeros)
        if self.request.skip_gate_proj:
            for target in targets.gates:
                clear_gates(target, zeros)

    def start(self, step: BackwardStep) -> None:
        """Load what the first step needs."""
        self.d_output.gather(step)
        self.weights.load_down(step)
        self.activations.load(step)
        self.weights.load_gate_up(step)
        self.tokens.gather(step)
        self.hidden.load(step)

    def finish(self) -> tuple[Any, ...]:
        """The gradients, complete."""
        self.hidden.finish()
        return self.returned
