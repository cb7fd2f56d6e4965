# SPDX-License-Identifier: Apache-2.0
"""`moe_cte_backward`, the public kernel for gradients of `moe_cte`."""

from __future__ import annotations

from typing import Any

import nki
import nki.language as nl

from nkimoe import kernels
from nkimoe.kernels import backward
from nkimoe.planning.backward.check_inputs import check_backward_inputs
from nkimoe.planning.backward.plan import make_backward_plan
from nkimoe.planning.backward.request import BACKWARD_SPEC, BackwardRequest
from nkimoe.planning.check_inputs import checked_before_launch
from nkimoe.spec import ActFnType, ExpertAffinityScaleMode, SkipMode


@nki.jit
@checked_before_launch(check_backward_inputs)
def moe_cte_backward(
    hidden_states: Any, expert_affinities_masked: Any, gate_up_proj_weight: Any, down_proj_weight: Any,
    gate_up_activations_T: Any, token_position_to_id: Any, block_to_expert: Any, output_hidden_states_grad: Any,
    block_size: int, gate_and_up_proj_bias: Any = None, down_proj_bias: Any = None,
    activation_function: ActFnType = ActFnType.SiLU, skip_dma: SkipMode | None = SkipMode(False, False),
    compute_dtype: Any = nl.bfloat16,
    expert_affinities_scaling_mode: ExpertAffinityScaleMode = ExpertAffinityScaleMode.POST_SCALE,
    gate_clamp_upper_limit: float | None = None, gate_clamp_lower_limit: float | None = None,
    up_clamp_upper_limit: float | None = None, up_clamp_lower_limit: float | None = None,
    skip_gate_proj: bool = False, up_offset: float = 0.0,
) -> tuple[Any, ...]:  # fmt: skip
    """Gradients of the inputs of `moe_cte` from the gradient of its output (formulas: `nkimoe.reference.backward`).

    Sums are fp32; each gradient is rounded once, when it is written. Works with the checkpoint of any dense
    implementation. The gradient of the affinities is a sum over I, so no checkpoint of the down projection is needed.

    Args:
        hidden_states, expert_affinities_masked, gate_up_proj_weight, down_proj_weight, token_position_to_id,
            block_to_expert, block_size, skip_dma: as passed to `moe_cte`. The blocks of an expert follow each other.
        gate_up_activations_T: [N, 2, I, B], bf16, fp16 or fp32, as `moe_cte` returned it.
        output_hidden_states_grad: [T', H], dtype of hidden_states; a pad row is not read.
        gate_and_up_proj_bias, down_proj_bias: as passed to `moe_cte`; of each that is given a gradient is returned.
        compute_dtype: dtype of the matmul operands on chip.
        expert_affinities_scaling_mode: POST_SCALE; equals `expert_affinity_multiply_on_I`.
        activation_function, gate_clamp_upper_limit, gate_clamp_lower_limit, up_clamp_upper_limit,
            up_clamp_lower_limit, skip_gate_proj, up_offset: as passed to `moe_cte`. Nothing flows through a value at
            its limit.

    Returns:
        Gradients of hidden_states [T', H], expert_affinities_masked [T' * E, 1], gate_up_proj_weight [E, H, 2, I],
        down_proj_weight [E, I, H], then of the given biases; shape and dtype of the argument. Exactly zero: experts
        without tokens, pad rows, pairs (token, expert) without a slot, the gate of up-only experts.

    Raises:
        RequestError: the request cannot be honoured; names the argument, the rule and what would work.
        InputError: before a simulated launch, for values that mean nothing (see `check_inputs`), and blocks of an
            expert that do not follow each other.
    """
    request = BackwardRequest.from_arguments({"spec": BACKWARD_SPEC, **locals()})
    plan = make_backward_plan(request, cores=nl.num_programs(0), target=kernels.target())
    return backward.run(request, plan)
