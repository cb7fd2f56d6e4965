"""The kernel behind operations whose experts see pairs (token, choice), not tokens."""

from __future__ import annotations

from typing import Any

import nki
import nki.language as nl

from nkimoe import kernels
from nkimoe.planning.plan import make_plan
from nkimoe.planning.request import Pairs, Request
from nkimoe.spec import ActFnType, MoECTEImplementation, MoECTESpec, QuantizationConfig, SkipMode


@nki.jit
def pair_experts(
    hidden_states: Any, gate_up_proj_weight: Any, down_proj_weight: Any, gate_up_proj_scale: Any, down_proj_scale: Any,
    tokens: Any, positions: Any, weights: Any, block_to_expert: Any, *, choices: int, block_size: int,
    rounds_each: bool, has_gaps: bool, compute_dtype: str, activation_function: ActFnType = ActFnType.SiLU,
    skip_gate_proj: bool = False, activation_quantization: str | None = None, exact_rows: int | None = None,
) -> Any:  # fmt: skip
    """out[t] = sum over choices j, in order, of weight * expert(x[t]), where a slot holds the pair t * choices + j.

    Args:
        hidden_states: [T, H] bf16 or fp16.
        gate_up_proj_weight, down_proj_weight, gate_up_proj_scale, down_proj_scale: as of `moe_cte`; scales or None.
        tokens: int32 [N * B], the token of each slot, -1 in pads.
        positions: int32 [N * B], the pair, T * choices in pads.
        weights: fp32 [N * B].
        block_to_expert: int32 [N].
        rounds_each: round each choice's result to the type of hidden_states before they are added.
        has_gaps: some pairs have no slot.
        skip_gate_proj, activation_quantization, exact_rows: as of `moe_cte`.

    Returns:
        [T, H], dtype of hidden_states.

    Raises:
        RequestError: the request cannot be honoured.
    """
    request = Request(
        hidden_states, None, gate_up_proj_weight, down_proj_weight, tokens, block_to_expert, block_size,
        MoECTESpec(MoECTEImplementation.shard_on_block), compute_dtype,
        quantization_config=QuantizationConfig(gate_up_proj_scale, down_proj_scale, exact_rows),
        activation_function=activation_function, skip_dma=SkipMode(skip_token=True), skip_gate_proj=skip_gate_proj,
        activation_quantization=activation_quantization,
        pairs=Pairs(positions, weights, choices, rounds_each, has_gaps),
    )  # fmt: skip
    return kernels.run(request, make_plan(request, nl.num_programs(0), kernels.target()))
