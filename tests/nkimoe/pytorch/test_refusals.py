"""What padding, broadcasting or reshaping would hide is refused by name."""

import re

import pytest

torch = pytest.importorskip("torch")

from nkimoe.errors import InputError, RequestError  # noqa: E402
from nkimoe.pytorch import (  # noqa: E402
    ExpertWeights,
    LayerSizes,
    MoE,
    Options,
    blockwise_matmul,
    build_blockwise_mapping,
    moe_experts,
    options,
)
from nkimoe.routing import RoutingRule  # noqa: E402

from .layers import tokens, weights  # noqa: E402


def call(change):
    x, ids, routing = (t.detach() for t in tokens())
    experts = weights().prepare(torch.bfloat16, "plain", "trn2")
    return moe_experts(*change(x, ids, routing), experts)


def test_the_call_that_the_others_change_is_fine():
    assert call(lambda *arguments: arguments).shape == (9, 40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, ids, w: (x[:, :39], ids, w), "has the H of the experts, 40; got 39"),
        (lambda x, ids, w: (x[None], ids, w), r"hidden_states: is \[T, H\]"),
        (lambda x, ids, w: (x, ids[:3], w[:3]), r"expert_ids: is \[9, K\]"),
        (lambda x, ids, w: (x, ids[:, 0], w[:, 0]), r"expert_ids: is \[9, K\]"),
        (lambda x, ids, w: (x, ids, w[:, :1]), r"has the shape of expert_ids, \(9, 2\); got \(9, 1\)"),
        (lambda x, ids, w: (x, ids.float(), w), "expert_ids: is integers"),
    ],
)
def test_tensors_that_do_not_belong_together(change, message):
    with pytest.raises(RequestError, match=message):
        call(change)


@pytest.mark.parametrize("where", [0, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_no_layer_has(where, value):
    with pytest.raises(InputError, match="is finite"):
        call(lambda *arguments: [t * value if i == where else t for i, t in enumerate(arguments)])


@pytest.mark.parametrize("foreign", [-1, 4, 2**40, -(2**40)])
def test_ids_of_no_expert_are_ignored_however_large(foreign):
    def changed(x, ids, w):
        return x, torch.where(ids == 3, foreign, ids), w

    def masked(x, ids, w):
        return x, ids, torch.where(ids == 3, 0.0, w)

    torch.testing.assert_close(call(changed), call(masked))


def test_the_dropping_variant_wants_a_mapping_of_its_own():
    with (
        options(variant="shard_on_i_dropping"),
        pytest.raises(RequestError, match=r"drops no token .*shard_on_i_dropping.*blockwise_matmul"),
    ):
        call(lambda *arguments: arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_size": 0}, "is a positive int or None; got 0"),
        ({"block_size": "128"}, "is a positive int or None; got '128'"),
        ({"variant": "shard_on_block_mx", "weights": "mxfp4"}, "target: is trn3 for shard_on_block_mx"),
        (
            {"variant": "shard_on_block", "weights": "mxfp4"},
            "weights: is one of plain, fp8-row, fp8-static, fp8-block, int8 for shard_on_block",
        ),
        ({"weights": "mxfp4"}, "target: takes weights in mxfp4; got 'trn2'. Choose trn3"),
        ({"strategy": "HALVES"}, "strategy: is one of auto, HI_LO, PING_PONG; got 'HALVES'"),
    ],
)
def test_options_that_no_layer_can_run_with(changes, message):
    with pytest.raises(RequestError, match=message):
        Options(**changes)


def test_a_module_refuses_tokens_and_weights_of_other_sizes():
    layer = MoE(LayerSizes(40, 24, 4), RoutingRule(2))
    with pytest.raises(RequestError, match="ends in the layer's H = 40"):
        layer(torch.zeros(3, 80))
    with pytest.raises(RequestError, match=r"gate_up: is \(4, 40, 2, 24\); got \(4, 40, 2, 25\)"):
        layer.load_whole(torch.zeros(4, 40), ExpertWeights(torch.zeros(4, 40, 2, 25), torch.zeros(4, 25, 40)))
    with pytest.raises(RequestError, match="H: is positive"):
        LayerSizes(0, 24, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda gate_up, slots, blocks: (gate_up[..., :-1], slots, blocks), r"gate_up_proj_weight: is \[E, H, 2I\]"),
        (lambda gate_up, slots, blocks: (gate_up, slots[:-1], blocks), "has the slots of 2 blocks"),
        (lambda gate_up, slots, blocks: (gate_up, slots[:0], blocks[:0]), "has the slots of 0 blocks"),
    ],
)
def test_blocks_that_do_not_belong_together(change, message):
    zeros = torch.zeros
    gate_up, slots, blocks = change(zeros(1, 128, 32), zeros(256, dtype=torch.int32), zeros(2, dtype=torch.int32))
    with pytest.raises(RequestError, match=message):
        blockwise_matmul(zeros(1, 128).bfloat16(), zeros(1, 1), gate_up, zeros(1, 16, 128), slots, blocks)


def test_affinities_as_a_column_are_no_mapping():
    with pytest.raises(RequestError, match=r"is \[T, 4\], as num_local_experts says; got \(40,\)"):
        build_blockwise_mapping(torch.zeros(40), 4, 2, 128)


@pytest.mark.parametrize(
    ("name", "said"),
    [("block_sizes", "Did you mean block_size?"), ("wieghts", "Did you mean weights?"), ("x", "Drop it.")],
)
def test_an_option_that_does_not_exist_is_refused_with_what_was_meant(name, said):
    with pytest.raises(RequestError, match=re.escape(said)), options(**{name: 1}):
        pass
    with options() as afterwards:
        assert afterwards == Options()
