"""Tokens whose experts are all here: each choice has a row of its own."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nkimoe import InputError  # noqa: E402
from nkimoe.pytorch import ExpertWeights, Options, moe_experts, options  # noqa: E402
from nkimoe.pytorch.call import Call  # noqa: E402
from nkimoe.pytorch.gate import SILU  # noqa: E402
from nkimoe.pytorch.mapping import build_pair_blocks  # noqa: E402
from nkimoe.pytorch.operator import moe_cte_operator  # noqa: E402
from nkimoe.routing import pair_blocks, static_block_count  # noqa: E402

T, H, I, E, K = 70, 128, 48, 5, 3


def layer(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(T, H, generator=generator).bfloat16()
    ids = torch.rand(T, E, generator=generator).argsort(dim=1)[:, :K]
    weights = torch.rand(T, K, generator=generator)
    gate_up = (torch.randn(E, H, 2, I, generator=generator) / 11).bfloat16()
    down = (torch.randn(E, I, H, generator=generator) / 7).bfloat16()
    return x, ids, weights, ExpertWeights(gate_up, down, []).prepare(torch.bfloat16, "plain", "trn2")


def one_by_one(x, ids, weights, experts):
    """Each pair alone, in fp32: the oracle."""
    out = torch.zeros(T, H)
    for t in range(T):
        for k in range(K):
            e = int(ids[t, k])
            g, u = torch.einsum("h,hpi->pi", x[t].float(), experts.gate_up[e].float()).unbind()
            out[t] += weights[t, k] * ((torch.nn.functional.silu(g) * u) @ experts.down[e].float())
    return out


@pytest.mark.parametrize("size", [None, 32, 72])
@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i", "shard_on_i_hybrid"])
def test_a_row_for_each_choice_gives_the_sum_of_the_experts(variant, size):
    x, ids, weights, experts = layer()
    with torch.no_grad(), options(variant=variant, block_size=size):
        actual = moe_experts(x, ids, weights, experts, is_complete=True)
    expected = one_by_one(x, ids, weights, experts)
    assert (actual.float() - expected).norm() < 6e-3 * expected.norm()


def test_block_sizes_change_no_bit():
    x, ids, weights, experts = layer()
    with torch.no_grad():
        results = []
        for size in (None, 32, 64, 100):
            with options(block_size=size):
                results.append(moe_experts(x, ids, weights, experts, is_complete=True))
    assert all(torch.equal(result, results[0]) for result in results)


def test_tables_are_those_of_the_host():
    _, ids, weights, _ = layer()
    ours = build_pair_blocks(ids, weights, E, 32)
    theirs = pair_blocks(ids.numpy(), weights.numpy(), E, 32, static_block_count(T, K, E, 32))
    np.testing.assert_array_equal(ours.blocks.token_position_to_id, theirs.tokens)
    np.testing.assert_array_equal(ours.blocks.block_to_expert, theirs.block_to_expert)
    np.testing.assert_array_equal(ours.blocks.conditions, theirs.conditions)
    np.testing.assert_array_equal(ours.positions, theirs.positions)
    np.testing.assert_array_equal(ours.weights, theirs.weights)


def test_a_broken_promise_is_refused():
    x, ids, weights, experts = layer()
    ids[3, 1] = E + 2
    with torch.no_grad(), pytest.raises(InputError, match="has a slot for each pair"):
        moe_experts(x, ids, weights, experts, is_complete=True)


def test_gradients_are_those_without_the_promise():
    x, ids, weights, experts = layer()
    grads = []
    for is_complete in (False, True):
        leaf = x.clone().requires_grad_()
        moe_experts(leaf, ids, weights, experts, is_complete=is_complete).float().square().sum().backward()
        grads.append(leaf.grad)
    assert grads[0].norm() > 0
    assert torch.equal(*grads)


def test_it_stays_one_graph_when_compiled():
    x, ids, weights, experts = layer()
    compiled = torch.compile(moe_experts, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        expected = moe_experts(x, ids, weights, experts, is_complete=True)
        assert torch.equal(compiled(x, ids, weights, experts, is_complete=True), expected)


def test_torch_finds_the_operator_with_pairs_well_formed():
    x, ids, weights, experts = layer()
    slots = build_pair_blocks(ids, weights, E, 32)
    call = Call(Options(block_size=32), SILU, True, choices=K).to_text()

    tensors = x, slots.weights, experts.gate_up, experts.down, [], [], [*slots.blocks, slots.positions], call
    torch.library.opcheck(moe_cte_operator, tensors)
