"""int8 experts through the torch operator: activations are quantised a token at a time, wherever the experts are."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import nkisim  # noqa: E402
from nkimoe.errors import RequestError  # noqa: E402
from nkimoe.pytorch import ExpertWeights, LayerSizes, MoE, moe_experts, options  # noqa: E402
from nkimoe.routing import RoutingRule  # noqa: E402
from nkimoe.weights import exact_rows  # noqa: E402

from .layers import definition, silu, tokens, weights  # noqa: E402


@pytest.fixture(autouse=True)
def inference():
    with torch.no_grad(), options(weights="int8"):
        yield


def layer(experts=None):
    return (experts or weights()).prepare(torch.bfloat16, "int8", "trn2")


def coded_rows(rows):
    scale = rows.abs().amax(dim=-1, keepdim=True).clamp(min=1e-7) / 127
    return (rows / scale).round() * scale


def in_codes(x, ids, routing, prepared):
    """The definition with codes times scales, activations too."""
    E, H, _, I = prepared.gate_up.shape
    gate_up = prepared.gate_up.float() * prepared.scales[0].reshape(E, 1, 2, I)
    down = prepared.down.float() * prepared.scales[1]

    def coded(first):
        return coded_rows(silu(first).bfloat16().float())

    rows = coded_rows(torch.nn.functional.pad(x, (0, H - x.shape[1])))
    return definition(rows, ids, routing, ExpertWeights(gate_up, down), coded)[:, : x.shape[1]]


def error(actual, expected):
    return float((actual - expected).norm() / expected.norm())


def test_the_layer_is_that_of_codes_and_scales():
    prepared, (x, ids, routing) = layer(), tokens(T=30)
    actual, expected = moe_experts(x, ids, routing, prepared), in_codes(x, ids, routing, prepared)
    plain = definition(x, ids, routing, weights(), silu)
    assert error(actual, expected) < 6e-3 < error(actual, plain) < 4e-2


def test_prepared_weights_carry_codes_and_how_many_of_their_products_fp32_adds():
    prepared = layer()
    assert {prepared.gate_up.dtype, prepared.down.dtype} == {torch.int8}
    assert prepared.exact_rows == exact_rows(prepared.gate_up.numpy(), prepared.down.numpy())
    assert weights().prepare(torch.bfloat16, "fp8-row", "trn2").exact_rows is None


def test_the_kernel_is_told_that_activations_are_int8(monkeypatch):
    launches, run = [], nkisim.Simulator.run
    monkeypatch.setattr(nkisim.Simulator, "run", lambda self, k, **a: launches.append(a) or run(self, k, **a))
    prepared = layer()
    moe_experts(*tokens(), prepared)
    (launched,) = launches
    assert launched["activation_quantization"] == "int8_per_token"
    assert launched["quantization_config"].exact_rows == prepared.exact_rows
    assert launched["gate_up_proj_weight"].dtype == np.int8


def test_experts_of_two_ranks_quantise_tokens_as_those_of_one():
    experts, (x, ids, routing) = weights(), tokens(T=30)
    whole = moe_experts(x, ids, routing, layer(experts))
    halves = [
        moe_experts(x, ids - first, routing, layer(ExpertWeights(experts.gate_up[own], experts.down[own])))
        for first, own in ((0, slice(0, 2)), (2, slice(2, 4)))
    ]
    assert error(sum(halves), whole) < 4e-3


def test_a_module_computes_with_the_options_in_force():
    torch.manual_seed(0)
    module = MoE(LayerSizes(H=40, I=24, E=4), RoutingRule(2))
    module.load_whole(torch.randn(4, 40), weights())
    x = torch.randn(12, 40).bfloat16().float()
    coded = module(x)
    with options(weights="plain"):
        plain = module(x)
    assert 6e-3 < error(coded, plain) < 4e-2


def test_quantised_weights_are_not_trained():
    with torch.enable_grad(), pytest.raises(RequestError, match="is 'plain' when weights are trained; got 'int8'"):
        layer()
