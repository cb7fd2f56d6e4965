"""The calls of vllm-neuron and neuronx-distributed around the kernel."""

import pytest

torch = pytest.importorskip("torch")

from nkimoe.errors import RequestError  # noqa: E402
from nkimoe.pytorch import blockwise_matmul, build_blockwise_mapping, options, routed_mask  # noqa: E402
from nkimoe.routing import build_block_mapping  # noqa: E402

from .layers import definition, silu, tokens, weights  # noqa: E402

T, E, H = 9, 4, 128


def affinities(ids, routing):
    return torch.zeros(T, E).scatter(1, ids, routing)


def test_the_mapping_is_that_of_the_routed_pairs():
    _, ids, routing = tokens(T=T, E=E)
    masked, positions, experts, conditions = build_blockwise_mapping(affinities(ids, routing), E, 2, 128)
    expected = build_block_mapping(ids.numpy(), E, 128)
    assert positions.tolist() == expected.token_position_to_id.tolist()
    assert experts.tolist() == expected.block_to_expert.tolist()
    assert conditions.tolist() == expected.conditions[:-1].tolist()
    assert torch.equal(masked.reshape(T, E), affinities(ids, routing))


def test_padding_tokens_get_no_slot():
    _, ids, routing = tokens(T=T, E=E)
    real = torch.arange(T) < 5
    masked, positions, _, _ = build_blockwise_mapping(affinities(ids, routing), E, 2, 128, padding_mask=real)
    assert set(positions.tolist()) == {-1, *range(5)}
    assert not masked.reshape(T, E)[5:].any()


def test_a_mask_of_ids_keeps_what_a_mask_of_affinities_loses():
    ids, weights = torch.tensor([[0, 3]]), torch.tensor([[1.0, 1e-45]]).bfloat16()
    dense = torch.zeros(1, E, dtype=torch.bfloat16).scatter(1, ids, weights)
    assert (build_blockwise_mapping(dense, E, 2, 4)[1] == 0).sum() == 1
    assert (build_blockwise_mapping(dense, E, 2, 4, routed=routed_mask(ids, E))[1] == 0).sum() == 2


def test_the_mapping_takes_the_positions_of_vllm_neurons_call():
    _, ids, routing = tokens(T=T, E=E)
    real = torch.arange(T) < 5
    by_position = build_blockwise_mapping(affinities(ids, routing), E, 2, 128, object(), 4, real, 3)
    by_name = build_blockwise_mapping(affinities(ids, routing), E, 2, 128, padding_mask=real)
    assert all(torch.equal(a, b) for a, b in zip(by_position, by_name, strict=True))


def test_biases_and_one_expert_a_token():
    experts, (x, ids, routing) = weights(E=E, H=H, bias=True), tokens(T=T, E=E, H=H, K=1)
    _, positions, blocks, _ = build_blockwise_mapping(affinities(ids, routing), E, 1, 128)
    tensors = (x, affinities(ids, routing), experts.gate_up.flatten(2), experts.down)
    biases = dict(
        zip(("gate_up_proj_bias", "down_proj_bias"), (b.flatten(1).bfloat16() for b in experts.biases), strict=True)
    )
    expected = definition(x, ids, routing, experts, silu)
    for several in (False, True):
        arguments = (*(t.bfloat16() for t in tensors), positions, blocks)
        output = blockwise_matmul(*arguments, **biases, multi_expert_per_token=several)
        assert (output.float() - expected).norm() < 2e-2 * expected.norm()
    with pytest.raises(RequestError, match="comes with down_proj_bias"):
        blockwise_matmul(*arguments, gate_up_proj_bias=biases["gate_up_proj_bias"])


@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i", "shard_on_i_hybrid"])
@pytest.mark.parametrize("pad", [-1, T])
def test_blockwise_matmul_and_its_gradients(variant, pad):
    experts, (x, ids, routing) = weights(E=E, H=H), tokens(T=T, E=E, H=H)
    _, positions, blocks, _ = build_blockwise_mapping(affinities(ids, routing), E, 2, 128)
    leaves = [t.detach().bfloat16().requires_grad_() for t in (x, affinities(ids, routing))]
    leaves += [experts.gate_up.detach().flatten(2).bfloat16().requires_grad_()]
    leaves += [experts.down.detach().bfloat16().requires_grad_()]
    with options(variant=variant):
        output = blockwise_matmul(*leaves, torch.where(positions < 0, pad, positions), blocks)
    expected = definition(x, ids, routing, experts, silu)
    assert (output.float() - expected).norm() < 2e-2 * expected.norm()
    output.backward(torch.ones_like(output))
    expected_grads = torch.autograd.grad(expected.sum(), [x, experts.gate_up, experts.down])
    for leaf, grad in zip((leaves[0], leaves[2], leaves[3]), expected_grads, strict=True):
        assert (leaf.grad.float().reshape(grad.shape) - grad).norm() < 2e-2 * grad.norm()
    assert leaves[1].grad.norm() > 0
