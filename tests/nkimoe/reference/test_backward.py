"""The golden gradients are those that torch's autograd finds in float64 for the plainest way to write the layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs

from nkimoe import ActFnType
from nkimoe.reference.backward import moe_cte_backward_reference

torch = pytest.importorskip("torch")

ACTIVATIONS = {
    ActFnType.SiLU: torch.nn.functional.silu,
    ActFnType.GELU: torch.nn.functional.gelu,
    ActFnType.GELU_Tanh_Approx: lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    ActFnType.Swish: lambda x: x * torch.sigmoid(1.702 * x),
    ActFnType.ReLU: torch.relu,
    ActFnType.SquaredReLU: lambda x: torch.relu(x) ** 2,
}
BASE = Case(T=23, H=12, I=7, E=5, K=2, B=4, routing="some_tokens_nowhere")


def layer(case: Case, t: dict[str, Any], routed: Any) -> tuple[Any, Any]:
    """(output [T, H], clamped gate and up [T, E, 2, I]) of every expert on every token, masked by `routed` [T, E]."""
    first = torch.einsum("th,ehci->teci", t["hidden_states"][: case.T], t["gate_up_proj_weight"])
    first = first + t["gate_and_up_proj_bias"] if "gate_and_up_proj_bias" in t else first
    limits = ((case.gate_lower, case.gate_upper), (case.up_lower, case.up_upper))
    halves = [h if limit == (None, None) else h.clamp(*limit) for h, limit in zip(first.unbind(2), limits, strict=True)]
    act, up = ACTIVATIONS[case.activation], halves[1] + case.up_offset
    y = torch.einsum("tei,eih->teh", act(up) if case.skip_gate else act(halves[0]) * up, t["down_proj_weight"])
    y = y + t["down_proj_bias"] if "down_proj_bias" in t else y
    affinities = t["expert_affinities_masked"].reshape(-1, case.E)[: case.T]
    return torch.einsum("teh,te->th", y, affinities * routed), torch.stack(halves, 2)


@cases(
    BASE,
    replace(BASE, biases="none", skip_token=False),
    replace(BASE, biases="down", routing="empty_experts"),
    replace(BASE, biases="gate_up", K=1, B=8),
    replace(BASE, gate_upper=0.4, gate_lower=-0.6, up_upper=0.5, up_lower=-0.2, up_offset=1.0),
    replace(BASE, gate_upper=0.0, up_lower=0.0, skip_token=False),
    *(replace(BASE, activation=activation) for activation in ActFnType),
    *(replace(BASE, activation=activation, skip_gate=True, up_offset=0.5, up_upper=0.3) for activation in ActFnType),
)
def test_every_gradient_is_that_of_autograd(case: Case) -> None:
    inputs = build_inputs(replace(case, dtype="float32"))
    ids = inputs["token_position_to_id"].reshape(-1, case.B)
    experts = inputs["block_to_expert"].reshape(-1)
    real = (ids >= 0) & (ids < case.T)
    blocks, slots = np.nonzero(real)
    routed = torch.zeros(case.T, case.E, dtype=torch.float64)
    routed[ids[real], experts[blocks]] = 1
    leaves = {
        name: torch.from_numpy(value.astype(np.float64)).requires_grad_()
        for name, value in inputs.items()
        if value.dtype.kind == "f"
    }
    output, gate_up = layer(case, leaves, routed)
    d_output = np.random.default_rng(7).standard_normal((len(inputs["hidden_states"]), case.H))
    output.backward(torch.from_numpy(d_output[: case.T]))
    kept = np.full((len(experts), 2, case.I, case.B), np.nan)
    kept[blocks, :, :, slots] = gate_up.detach().numpy()[ids[real], experts[blocks]]

    options = case.options()
    names = ("activation_function", "up_offset", "skip_gate_proj", *(n for n in options if "clamp" in n))
    tensors = {name: leaf.detach().numpy() for name, leaf in leaves.items()}
    found = moe_cte_backward_reference(
        **{**inputs, **tensors}, gate_up_activations_T=kept, output_hidden_states_grad=d_output, block_size=case.B,
        skip_token=case.skip_token, **{name: options[name] for name in names},
    )  # fmt: skip
    of = ("hidden_states", "expert_affinities_masked", "gate_up_proj_weight", "down_proj_weight",
          "gate_and_up_proj_bias", "down_proj_bias")  # fmt: skip
    for name, grad in zip(of, found, strict=True):
        if name not in leaves:
            assert grad is None
            continue
        expected = leaves[name].grad.numpy()
        assert grad is not None
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(grad, expected, rtol=1e-9, atol=1e-11, err_msg=name)
