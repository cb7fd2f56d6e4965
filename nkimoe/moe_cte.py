# SPDX-License-Identifier: Apache-2.0
"""`moe_cte`, the public kernel: one entry for all implementations."""

from __future__ import annotations

from typing import Any

import nki
import nki.language as nl

from nkimoe import kernels
from nkimoe.planning.check_inputs import check_call, checked_before_launch
from nkimoe.planning.plan import make_plan
from nkimoe.planning.request import Request
from nkimoe.spec import ActFnType, ExpertAffinityScaleMode, MoECTESpec, Pairs, QuantizationConfig, SkipMode


@nki.jit
@checked_before_launch(check_call)
def moe_cte(
    hidden_states: Any, expert_affinities_masked: Any, gate_up_proj_weight: Any, down_proj_weight: Any,
    token_position_to_id: Any, block_to_expert: Any, block_size: int, spec: MoECTESpec, conditions: Any = None,
    gate_and_up_proj_bias: Any = None, down_proj_bias: Any = None,
    quantization_config: QuantizationConfig | None = None, gate_up_activations_T: Any = None,
    down_activations: Any = None, activation_function: ActFnType = ActFnType.SiLU,
    skip_dma: SkipMode | None = SkipMode(False, False), compute_dtype: Any = nl.bfloat16,
    is_tensor_update_accumulating: bool = True,
    expert_affinities_scaling_mode: ExpertAffinityScaleMode = ExpertAffinityScaleMode.POST_SCALE,
    gate_clamp_upper_limit: float | None = None, gate_clamp_lower_limit: float | None = None,
    up_clamp_upper_limit: float | None = None, up_clamp_lower_limit: float | None = None,
    gate_up_proj_scale: Any = None, down_proj_scale: Any = None, gate_up_in_scale: Any = None,
    down_in_scale: Any = None, accumulation_dtype: Any = None, skip_gate_proj: bool = False,
    up_offset: float = 0.0, activation_quantization: str | None = None, gate_up_hidden_scale: Any = None,
    down_hidden_scale: Any = None, down_bias_tp_degree: int | None = None, down_bias_tp_rank: int | None = None,
    pairs: Pairs | None = None,
) -> Any:  # fmt: skip
    """Blockwise Mixture-of-Experts MLP of prefill.

    For each slot of block b, with e = block_to_expert[b] and t = token_position_to_id[slot]:

        g, u = x[t] @ Wg[e] + bg[e], x[t] @ Wu[e] + bu[e]      clamped
        out[t] += ((act(g) * u) @ Wd[e] + bd[e]) * affinity[t, e]

    Launch as `moe_cte[2](...)` for both cores of a logical NeuronCore, or `moe_cte(...)` for one. `T'` is T + 1 with a
    zero pad row (pads have id T), or T with `skip_dma=SkipMode(skip_token=True)` (pads have id -1).

    Args:
        hidden_states: [T', H] bf16 or fp16; of MX variants also MXFP8 rows with their scales behind.
        expert_affinities_masked: [T' * E, 1], row t * E + e, dtype of hidden_states; None: behind scales of MXFP8 rows.
        gate_up_proj_weight, down_proj_weight: [E, H, 2, I], gate first, and [E, I, H]; fp8 and int8 ones with scales.
        token_position_to_id, block_to_expert: int32 [N * B], and [N] or [N, 1]; without tokens, also -1 or E.
        block_size: B, slots a block; whole tiles of 128 use the cores best.
        spec: which implementation, its options.
        conditions: int32 prefix of ones over the blocks that hold tokens; read by hybrid implementations.
        gate_and_up_proj_bias, down_proj_bias: [E, 2, I], and [E, H], or of a rank's columns alone: [E, H / degree].
        quantization_config, gate_up_proj_scale, down_proj_scale, gate_up_in_scale, down_in_scale: dequantisation.
        gate_up_activations_T, down_activations: caller's checkpoint buffers, [N, 2, I, B] and [N, B, H].
        skip_dma: pad convention, and whether weights stay on chip between blocks of one expert; None is SkipMode().
        compute_dtype, accumulation_dtype: of the matmul operands on chip, and of sums across cores.
        is_tensor_update_accumulating: add the results of a token's blocks (top-k > 1), or let each overwrite.
        expert_affinities_scaling_mode: where the affinity multiplies.
        gate_clamp_upper_limit, gate_clamp_lower_limit, up_clamp_upper_limit, up_clamp_lower_limit: 0.0 is a limit.
        activation_function, skip_gate_proj, up_offset: of the gate; act(u) @ Wd alone; added to u after its limits.
        activation_quantization: with int8 weights, "int8_per_token" makes x and act(g) * u int8 (W8A8); None: W8A16.
        gate_up_hidden_scale, down_hidden_scale: multiply products; fp32, of tokens [T', 1], experts [E, 2, 1], [E, 1].
        down_bias_tp_degree, down_bias_tp_rank: of those ranks' columns, how many and which.
        pairs: which choice of its token each slot is, and its affinity; expert_affinities_masked then is None.

    Returns:
        [T', H], dtype of hidden_states, of MXFP8 compute_dtype; rows that no slot names are zero. With checkpoints a
        tuple (output, gate/up activations[, down activations]). With `per_core_output`: [T', cores, H], slab 0 the sum.

    Raises:
        RequestError: the request cannot be honoured; names the argument, the rule and what would work.
        InputError: before a simulated launch, for values that mean nothing (see `check_inputs`).
    """
    request = Request.from_arguments(locals())
    plan = make_plan(request, cores=nl.num_programs(0), target=kernels.target())
    return kernels.run(request, plan)
