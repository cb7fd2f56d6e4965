"""Experts modules of transformers through the kernel, against each pair alone in torch."""

import itertools

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

import nkimoe.hf  # noqa: E402
import nkisim  # noqa: E402
from nkimoe.errors import RequestError  # noqa: E402
from nkimoe.hf.forward import experts_forward  # noqa: E402

from .experts import E, H, clamped_gate, experts, one_by_one, tokens  # noqa: E402

FLAGS = [
    dict(zip(("is_transposed", "has_bias", "has_gate"), flags, strict=True))
    for flags in itertools.product((False, True), repeat=3)
]


def agree(actual, expected, bound=2e-2):
    assert actual.dtype == expected.dtype
    error = (actual - expected).abs().max() / expected.abs().max()
    assert error <= bound, f"relative error {error:.1e}"


@pytest.mark.parametrize("flags", FLAGS, ids=lambda f: " ".join(n for n, on in f.items() if on) or "plain")
@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i"])
def test_every_layout_computes_what_torch_computes(flags, variant):
    module, arguments = experts(**flags), tokens()
    with torch.no_grad(), nkimoe.hf.options(variant=variant):
        agree(experts_forward(module, *arguments), one_by_one(module, *arguments))


@pytest.mark.parametrize("is_concatenated", [True, False])
def test_gpt_oss_limits_and_offset_in_both_column_orders(is_concatenated):
    module = experts(gate=clamped_gate, limit=0.5, has_bias=True, is_transposed=True, is_concatenated=is_concatenated)
    arguments = tokens()
    with torch.no_grad():
        expected = one_by_one(module, *arguments)
        agree(experts_forward(module, *arguments), expected)
        module.limit = 7.0
        assert not torch.allclose(one_by_one(module, *arguments), expected, rtol=0.1), "the limit must matter"
        agree(experts_forward(module, *arguments), one_by_one(module, *arguments))


@pytest.mark.parametrize("act", ["silu", "gelu", "gelu_pytorch_tanh", "relu", "relu2"])
def test_activations(act):
    module, arguments = experts(act), tokens()
    with torch.no_grad():
        agree(experts_forward(module, *arguments), one_by_one(module, *arguments))


def test_a_norm_after_each_expert_comes_before_the_routing_weight():
    module, arguments = experts(norm=torch.nn.RMSNorm(H), has_post_expert_norm=True, has_bias=True), tokens()
    arguments[1][3, 1] = E  # an expert of another rank: its zero output must stay out
    with torch.no_grad():
        agree(experts_forward(module, *arguments), one_by_one(module, *arguments))


@pytest.mark.parametrize("sentinel", [-1, E, E + 7])
def test_experts_of_other_ranks_add_nothing(sentinel):
    module, (x, ids, weights) = experts(has_bias=True), tokens()
    ids[::2, 1] = sentinel
    ids[4] = sentinel
    with torch.no_grad():
        actual = experts_forward(module, x, ids, weights)
        agree(actual, one_by_one(module, x, ids, weights))
    assert (actual[4] == 0).all()


def test_an_expert_listed_twice_counts_twice():
    module, (x, ids, weights) = experts(), tokens()
    ids[:, 2] = ids[:, 0]
    with torch.no_grad():
        agree(experts_forward(module, x, ids, weights), one_by_one(module, x, ids, weights))


def test_no_tokens_give_no_rows():
    module, (x, ids, weights) = experts(), tokens()
    assert experts_forward(module, x[:0], ids[:0], weights[:0]).shape == (0, H)


@pytest.mark.parametrize("weights", ["fp8-row", "fp8-static"])
@pytest.mark.parametrize("target", ["trn2", "trn3"])
def test_quantised_weights_are_close_but_not_equal(weights, target):
    module, arguments = experts(has_bias=True), tokens()
    with torch.no_grad():
        expected = one_by_one(module, *arguments)
        plain = experts_forward(module, *arguments)
        with nkimoe.hf.options(weights=weights, target=target):
            actual = experts_forward(module, *arguments)
    agree(actual, expected, bound=0.1)
    assert not torch.equal(actual, plain)


@pytest.mark.parametrize("weights", ["mxfp8", "mxfp4"])
@pytest.mark.parametrize("variant", ["shard_on_block_mx", "shard_on_i_mx", "shard_on_i_mx_hybrid"])
def test_mx_weights_on_trn3(weights, variant):
    module, arguments = experts(has_bias=True), tokens()
    with torch.no_grad():
        expected = one_by_one(module, *arguments)
        with nkimoe.hf.options(variant=variant, target="trn3", weights=weights):
            agree(experts_forward(module, *arguments), expected, bound=0.1 if weights == "mxfp8" else 0.3)


def test_weights_of_a_format_that_the_variant_does_not_take_are_refused():
    with pytest.raises(RequestError, match=r"mxfp8.* for shard_on_i_mx; got .plain."):
        nkimoe.hf.Options(variant="shard_on_i_mx", target="trn3")
    with pytest.raises(RequestError, match="for shard_on_block"):
        nkimoe.hf.Options(variant="shard_on_block", weights="mxfp4")


def test_the_options_reach_the_kernel(monkeypatch):
    launches = []

    class Noting(nkisim.Simulator):
        def __init__(self, target, cores):
            super().__init__(target, cores)
            self.launched_with = [target, cores]

        def run(self, kernel, **arguments):
            spec = arguments["spec"]
            launches.append([*self.launched_with, arguments["block_size"], spec.implementation.name])
            return super().run(kernel, **arguments)

    monkeypatch.setattr(nkisim, "Simulator", Noting)
    with torch.no_grad(), nkimoe.hf.options(variant="shard_on_i", target="trn3", cores=1, block_size=32):
        experts_forward(experts(), *tokens())
    assert launches == [["trn3", 1, 32, "shard_on_i"]]
    with pytest.raises(RequestError, match="shard_on_blocks"):
        nkimoe.hf.Options(variant="shard_on_blocks")
    with pytest.raises(RequestError, match="target: is trn3 for shard_on_block_mx"):
        nkimoe.hf.Options(variant="shard_on_block_mx", weights="mxfp4", target="trn2")


def test_what_the_kernel_has_not_is_refused_or_runs_in_torch():
    module, arguments = experts(gate=lambda self, gate_up: torch.tanh(gate_up).chunk(2, dim=-1)[0]), tokens()
    with torch.no_grad():
        with pytest.raises(RequestError, match="_apply_gate, which is another"):
            experts_forward(module, *arguments)
        with nkimoe.hf.options(strict=False), pytest.warns(RuntimeWarning, match="runs in torch"):
            actual = experts_forward(module, *arguments)
        torch.testing.assert_close(actual, one_by_one(module, *arguments))
