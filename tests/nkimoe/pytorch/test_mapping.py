"""The mapping in torch is the mapping in NumPy, and traces."""

import numpy as np
import pytest
from hypothesis import given, settings
from support.routings import routings

torch = pytest.importorskip("torch")

from nkimoe.pytorch import build_blocks, merge_repeated, scatter_weights  # noqa: E402
from nkimoe.routing import build_block_mapping, scatter_affinities  # noqa: E402


@settings(max_examples=300, deadline=None)
@given(routings())
def test_blocks_equal_those_of_numpy(routing):
    ids, n_experts, block_size = routing
    expected = build_block_mapping(ids, n_experts, block_size)
    actual = build_blocks(torch.from_numpy(ids), n_experts, block_size)
    for name in ("token_position_to_id", "block_to_expert", "conditions"):
        values = getattr(actual, name)
        assert values.dtype == torch.int32
        np.testing.assert_array_equal(values, getattr(expected, name), err_msg=name)


@settings(max_examples=100, deadline=None)
@given(routings())
def test_the_affinity_column_equals_that_of_numpy(routing):
    ids, n_experts, _ = routing
    weights = np.linspace(0.1, 1, ids.size, dtype=np.float32).reshape(ids.shape)
    expected = scatter_affinities(weights, ids, n_experts, dtype=np.float32)
    np.testing.assert_array_equal(
        scatter_weights(torch.from_numpy(ids), torch.from_numpy(weights), n_experts), expected
    )


def test_a_pair_whose_weight_underflows_keeps_its_slot():
    ids, weights = torch.tensor([[0, 1]]), torch.tensor([[1.0, 1e-45]])
    assert (weights.bfloat16() > 0).tolist() == [[True, False]], "a mask of weights would lose it"
    assert (build_blocks(*merge_repeated(ids, weights, 2)[:1], 2, 4).token_position_to_id == 0).sum() == 2


def test_repeated_experts_are_merged_and_foreign_ones_dropped():
    ids, weights = merge_repeated(torch.tensor([[2, 0, 2], [5, 1, -1]]), torch.tensor([[0.5, 0.1, 0.25], [1, 2, 3]]), 3)
    assert ids.tolist() == [[2, 0, -1], [-1, 1, -1]]
    torch.testing.assert_close(weights, torch.tensor([[0.75, 0.1, 0.0], [0.0, 2.0, 0.0]]))


def test_shapes_follow_from_shapes():
    """Meta tensors have no values: whatever looked at one would fail."""
    ids, weights = torch.empty(10, 2, dtype=torch.int64, device="meta"), torch.empty(10, 2, device="meta")
    merged = merge_repeated(ids, weights, 4)
    blocks = build_blocks(merged[0], 4, 8)
    assert blocks.token_position_to_id.shape == (6 * 8,)
    assert scatter_weights(*merged, 4).shape == (40, 1)


def test_the_mapping_exports_as_one_graph():
    class Mapping(torch.nn.Module):
        def forward(self, ids):
            return build_blocks(ids, 4, 8)

    ids = torch.tensor([[0, 3], [1, 2], [3, 1]])
    exported = torch.export.export(Mapping(), (ids,))
    for actual, expected in zip(exported.module()(ids), build_blocks(ids, 4, 8), strict=True):
        assert torch.equal(actual, expected)
