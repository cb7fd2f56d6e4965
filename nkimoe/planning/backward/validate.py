# SPDX-License-Identifier: Apache-2.0
"""Every static rejection of `moe_cte_backward`."""

from __future__ import annotations

from nkimoe.errors import require
from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.problem import Problem
from nkimoe.planning.targets import Target
from nkimoe.planning.validate import validate
from nkimoe.planning.variants import VARIANTS
from nkimoe.spec import ExpertAffinityScaleMode


def check_forms(request: BackwardRequest) -> None:
    """What sizes are read from. Comes first.

    Raises:
        RequestError: quantised weights, which are not trained.
    """
    dtype = str(request.hidden_states.dtype)
    for name in ("gate_up_proj_weight", "down_proj_weight"):
        actual = str(getattr(request, name).dtype)
        require(actual == dtype, name, f"has the dtype of hidden_states, {dtype}, when training", actual, "Cast it.")


def validate_backward(request: BackwardRequest, problem: Problem, target: Target) -> None:
    """Raise RequestError for the first rule the request breaks."""
    p, mode = problem, request.expert_affinities_scaling_mode
    require(
        mode is ExpertAffinityScaleMode.POST_SCALE, "expert_affinities_scaling_mode",
        "is POST_SCALE in the backward pass", mode.name, "Scale after the experts, or differentiate it in torch.",
    )  # fmt: skip
    validate(request, problem, VARIANTS[request.spec.implementation], target)
    for name, shape in (
        ("gate_up_activations_T", (p.N, 2, p.I, p.B)),
        ("output_hidden_states_grad", (p.rows, p.H)),
    ):
        tensor = getattr(request, name)
        require(hasattr(tensor, "shape"), name, f"is a tensor of shape {shape}", type(tensor).__name__, "Pass it.")
        actual = tuple(int(n) for n in tensor.shape)
        require(actual == shape, name, f"has shape {shape}", actual, "It goes with the forward pass's arguments.")
    dtype, actual_dtype = str(request.hidden_states.dtype), str(request.output_hidden_states_grad.dtype)
    require(
        actual_dtype == dtype, "output_hidden_states_grad", f"has the dtype of hidden_states, {dtype}", actual_dtype,
        "Cast it.",
    )  # fmt: skip
