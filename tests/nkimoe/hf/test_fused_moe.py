"""Experts modules of transformers through `fused_moe`, against each pair alone in torch."""

import itertools

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

import nkimoe.hf  # noqa: E402
from nkimoe.errors import RequestError  # noqa: E402
from nkimoe.hf.forward import fused_moe_forward  # noqa: E402
from nkimoe.hf.fused_moe import _arguments  # noqa: E402
from nkimoe.pytorch.weights import ExpertWeights  # noqa: E402
from nkimoe.weights import quantize_int8  # noqa: E402

from .experts import E, H, clamped_gate, experts, one_by_one, tokens  # noqa: E402

FLAGS = [
    dict(zip(("is_transposed", "has_bias"), flags, strict=True)) for flags in itertools.product((False, True), repeat=2)
]


@pytest.fixture(autouse=True)
def inference():
    with torch.no_grad():
        yield


def agree(actual, expected, bound=2e-2):
    assert actual.dtype == expected.dtype
    error = (actual - expected).abs().max() / expected.abs().max()
    assert error <= bound, f"relative error {error:.1e}"


@pytest.mark.parametrize("flags", FLAGS, ids=lambda f: " ".join(n for n, on in f.items() if on) or "plain")
def test_every_layout_computes_what_torch_computes(flags):
    module, arguments = experts(**flags), tokens()
    agree(fused_moe_forward(module, *arguments), one_by_one(module, *arguments))


def test_gelu_in_its_tanh_form():
    module, arguments = experts("gelu_pytorch_tanh"), tokens()
    agree(fused_moe_forward(module, *arguments), one_by_one(module, *arguments))


@pytest.mark.parametrize("is_concatenated", [True, False])
def test_gpt_oss_limits_and_offset_in_both_column_orders(is_concatenated):
    module = experts(gate=clamped_gate, limit=0.5, has_bias=True, is_transposed=True, is_concatenated=is_concatenated)
    arguments = tokens()
    agree(fused_moe_forward(module, *arguments), one_by_one(module, *arguments))


def test_experts_of_other_ranks_add_nothing():
    module, (x, ids, weights) = experts(has_bias=True), tokens()
    ids[::2, 1], ids[4] = E, -1
    actual = fused_moe_forward(module, x, ids, weights)
    agree(actual, one_by_one(module, x, ids, weights))
    assert (actual[4] == 0).all()


@pytest.mark.parametrize("activations", ["int8_per_token", None])
def test_int8_modules_keep_codes_and_scales(activations):
    plain, coded, arguments = experts(), experts(), tokens()
    for name in ("gate_up_proj", "down_proj"):
        codes, scale = quantize_int8(getattr(coded, name).numpy(), 2, name)
        setattr(coded, name, torch.nn.Parameter(torch.from_numpy(codes), requires_grad=False))
        coded.register_buffer(f"{name}_scale", torch.from_numpy(scale))
        getattr(plain, name).copy_(torch.from_numpy(codes * scale))
    coded.activation_quantization = activations
    agree(fused_moe_forward(coded, *arguments), one_by_one(plain, *arguments), 2e-2 if activations is None else 4e-2)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: experts("relu"), "has a gate of fused_moe"),
        (lambda: experts(has_gate=False), "has a gate of fused_moe"),
        (lambda: experts(norm=torch.nn.RMSNorm(H), has_post_expert_norm=True), "has no norm after each expert"),
    ],
)
def test_what_fused_moe_cannot_do_is_refused_by_name_or_runs_in_torch(module, message):
    module, arguments = module(), tokens()
    with pytest.raises(RequestError, match=message):
        fused_moe_forward(module, *arguments)
    with nkimoe.hf.options(strict=False), pytest.warns(RuntimeWarning, match="runs in torch"):
        agree(fused_moe_forward(module, *arguments), one_by_one(module, *arguments), 1e-6)


def test_weights_that_would_have_to_be_packed_are_refused():
    with nkimoe.hf.options(weights="fp8-row"), pytest.raises(RequestError, match="weights: is 'plain'"):
        fused_moe_forward(experts(), *tokens())


def test_codes_that_are_not_int8_are_refused_by_their_type():
    gate_up, down = torch.zeros(E, H, 2, 3, dtype=torch.int16), torch.zeros(E, 3, H, dtype=torch.int16)
    coded = ExpertWeights(gate_up, down, scales=[torch.ones(E, 2, 3), torch.ones(E, H)])
    with pytest.raises(RequestError, match="weights with scales: are int8; got int16"):
        _arguments(coded, torch.bfloat16, False)
