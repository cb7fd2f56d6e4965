"""What a call is told of its blocks: how many hold tokens at least, where ranks share the experts."""

from nkimoe.cli.experiment import Setup, spec_of
from nkimoe.cli.planning import plan_only
from nkimoe.cli.sweep.point import request_of


def setup(variant: str, tokens: int = 4096, ep: int = 16) -> Setup:
    return Setup("qwen3-235b-a22b", 2, tokens, variant, "trn2", 2, 128, "bf16", text="", ep=ep, numerics=False)


def test_a_hybrid_unrolls_the_blocks_that_an_even_routing_fills() -> None:
    plan = plan_only(setup("shard_on_i_hybrid"))
    assert plan.static_blocks == 4096 * 8 // 16 // 128
    assert 10 * plan.static_blocks < plan.problem.N


def test_a_hybrid_with_all_experts_decides_by_itself() -> None:
    assert spec_of(setup("shard_on_i_hybrid", ep=1)).shard_on_I.num_static_block is None


def test_a_variant_without_a_loop_is_told_nothing() -> None:
    assert spec_of(setup("shard_on_i")).shard_on_I.num_static_block is None


def test_calls_with_other_options_are_other_requests() -> None:
    few, many = (request_of(setup("shard_on_i_hybrid", ep=ep)) for ep in (16, 8))
    assert few["spec"] != many["spec"]
