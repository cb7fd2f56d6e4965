# SPDX-License-Identifier: Apache-2.0
"""How far gradients may be from the reference, which starts from the same kept activations: every rounding counted.

Sums are fp32, so a gradient differs only by the roundings of matmul operands and by its own. One rounding to p
significant bits changes a value by at most 2**-p of it, and by 2**(1 - p) / sqrt(12) as a root mean square over
numbers that begin a binade, where it is largest. n independent roundings make sqrt(n) times that.

* between the projections: act(g) * u * affinity, or the gradients of g and u, rounded to the compute dtype: 1 for
  weights, biases and hidden states; the affinity's gradient and the bias of down have none;
* inputs of another type than the compute dtype, rounded on their way in: those on the way to the gradient;
* the gradient itself, rounded to its dtype: 1.

Where g is near a limit, or near zero with ReLU, nothing is rounded before the comparison, so nothing flips.
"""

from __future__ import annotations

import math

from nkimoe.reference.tolerance import SIGNIFICANT_BITS, Tolerance

NARROWER = {("bfloat16", "float16")}  # (compute dtype, dtype of the tensors): these round their inputs
INPUTS = {  # tensors on the way to each gradient
    "hidden_states": 3,  # d_output, down, gate_up
    "expert_affinities_masked": 2,  # d_output, down
    "gate_up_proj_weight": 3,  # d_output, down, hidden_states
    "down_proj_weight": 1,  # d_output
    "gate_and_up_proj_bias": 2,  # d_output, down
    "down_proj_bias": 2,  # d_output, affinity
}
BETWEEN = {"expert_affinities_masked": 0, "down_proj_bias": 0}  # 1 for the others


def gradient_tolerance(of: str, compute_dtype: str, dtype: str) -> Tolerance:
    """The bounds for the gradient of one argument of `moe_cte`."""
    rounds_inputs = (compute_dtype, dtype) in NARROWER
    inside = (BETWEEN.get(of, 1) + INPUTS[of] * rounds_inputs) if compute_dtype in SIGNIFICANT_BITS else 0
    squares = 4.0 ** (1 - SIGNIFICANT_BITS[dtype]) / 12
    if inside:
        squares += inside * 4.0 ** (1 - SIGNIFICANT_BITS[compute_dtype]) / 12
    rel_l2 = math.sqrt(squares)
    return Tolerance(rel_l2, rel_l2 * math.sqrt(3), f"{inside} times inside in {compute_dtype}, once in {dtype}")
