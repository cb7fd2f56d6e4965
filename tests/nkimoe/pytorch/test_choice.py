"""Layers called from torch are called as the model of cost says, unless options say how."""

import pytest

pytest.importorskip("torch")

import torch

from nkimoe.pytorch import Options, launch, options
from nkimoe.pytorch.call import Call
from nkimoe.pytorch.choice import block_size_of, called_as, decided
from nkimoe.pytorch.experts import moe_experts
from nkimoe.pytorch.gate import SILU
from nkimoe.pytorch.weights import ExpertWeights
from nkimoe.spec import BlockShardStrategy, MoECTEImplementation

E, H, I, T, K, B = 4, 128, 32, 40, 2, 32


def weights() -> ExpertWeights:
    generator = torch.Generator().manual_seed(0)
    make = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.bfloat16) / shape[1] ** 0.5  # noqa: E731
    return ExpertWeights(make(E, H, 2, I), make(E, I, H))


def named_weights() -> dict[str, torch.Tensor]:
    experts = weights()
    return {
        "gate_up_proj_weight": experts.gate_up,
        "down_proj_weight": experts.down,
    }


def tensors() -> dict[str, torch.Tensor]:
    hidden, experts = torch.zeros(T, H, dtype=torch.bfloat16), torch.zeros(6, dtype=torch.int32)
    return {"hidden_states": hidden, **named_weights(), "block_to_expert": experts}


def test_a_launch_is_decided_in_all_that_was_left_open():
    call = decided(Call(Options(block_size=B), SILU, accumulate=True, choices=K), tensors())
    implementation, strategy = called_as(call.options)
    assert implementation.name == call.options.variant
    assert strategy in BlockShardStrategy
    assert call.options.block_size == B


def test_what_options_say_is_not_decided_again():
    asked = Options(variant="shard_on_block", strategy="PING_PONG", block_size=B)
    call = Call(asked, SILU, accumulate=True, choices=K)
    assert decided(call, tensors()) == call
    expected = MoECTEImplementation.shard_on_block, BlockShardStrategy.PING_PONG
    assert called_as(decided(call, tensors()).options) == expected
    assert decided(Call(Options(strategy="PING_PONG", block_size=B), SILU, True), tensors()).options.strategy != "auto"


def test_more_tokens_get_larger_blocks():
    call = Call(Options(), SILU, accumulate=True, choices=K)
    few, many = (block_size_of(call, tokens, torch.bfloat16, named_weights()) for tokens in (16, 4096))
    assert few < many


@pytest.mark.parametrize("strategy", ["HI_LO", "PING_PONG"])
def test_the_result_is_that_of_a_variant_that_was_named(strategy):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(T, H, generator=generator).bfloat16()
    ids = torch.stack([torch.randperm(E, generator=generator)[:K] for _ in range(T)])
    shares = torch.full((T, K), 0.5)
    experts = weights().prepare(torch.bfloat16, "plain", "trn2")
    with torch.no_grad():
        chosen = moe_experts(x, ids, shares, experts, is_complete=True)
        with options(variant="shard_on_block", block_size=B, strategy=strategy):
            named = moe_experts(x, ids, shares, experts, is_complete=True)
    torch.testing.assert_close(chosen, named, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i_hybrid"])
def test_a_rank_that_sees_all_tokens_unrolls_the_blocks_that_its_share_of_the_pairs_fills(variant, monkeypatch):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(T, H, generator=generator).bfloat16()
    ids = torch.stack([torch.randperm(4 * E, generator=generator)[:K] for _ in range(T)])
    ids = torch.where(ids < E, ids, -1)
    specs = []

    def moe_cte(*args, spec, **kwargs):
        specs.append(spec)
        return plain(*args, spec=spec, **kwargs)

    plain = launch.moe_cte
    monkeypatch.setattr(launch, "moe_cte", moe_cte)
    experts, shares = weights().prepare(torch.bfloat16, "plain", "trn2"), torch.full((T, K), 0.5)
    with torch.no_grad(), options(variant=variant, block_size=16):
        alone, shared = (moe_experts(x, ids, shares, experts, ep_degree=degree) for degree in (1, 4))
    # With few pairs cores swap halves of their results, which are rounded before they are added.
    rounding = 2e-2 if variant == "shard_on_block" else 0
    torch.testing.assert_close(alone, shared, atol=rounding, rtol=rounding)
    if variant == "shard_on_block":
        assert {(spec.shard_on_block.top_k, spec.shard_on_block.ep_degree) for spec in specs} == {(1, 1), (K, 4)}
    else:
        assert {spec.shard_on_I.num_static_block for spec in specs} == {None, T * K // 4 // 16}
