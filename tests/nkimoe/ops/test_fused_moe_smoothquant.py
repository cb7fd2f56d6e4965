"""`fused_moe_smoothquant` gives what its definition gives, whose pieces are other operations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.expert_cases import activate_as_the_simulator, assert_as_defined, places_of_choices, smooth_layer

from nkimoe.ops import fused_experts, fused_moe_smoothquant
from nkimoe.reference.expert_ops import fused_moe_smoothquant_reference
from nkimoe.reference.row_quantisation import moe_smoothquant_reference
from nkimoe.reference.tolerance import distance, int8_tolerance
from nkisim import Simulator


def bits(result):
    return result.view(np.uint16)


@pytest.mark.parametrize("activation", ["silu", "gelu"])
@pytest.mark.parametrize("gated", [True, False], ids=["gated", "gate only"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(39, 128, 256, 8, 3), (128, 200, 300, 5, 5), (3, 1, 1, 2, 1)], ids=str)
def test_every_form_gives_the_definition(shape, dtype, gated, activation, monkeypatch):
    activate_as_the_simulator(monkeypatch)
    arguments = smooth_layer(*shape, dtype=dtype, gated=gated)

    def definition(**given):
        return fused_moe_smoothquant_reference(**given, activation=activation)

    found = fused_moe_smoothquant[2](**arguments, activation=activation)
    assert_as_defined(found, definition(**arguments), places_of_choices(definition, arguments))


def test_activations_of_numpy_are_as_near_as_quantised_values_can_be():
    arguments = smooth_layer(128, 128, 256)
    expected = fused_moe_smoothquant_reference(**arguments)
    assert distance(fused_moe_smoothquant[2](**arguments), expected).within(int8_tolerance("bfloat16", 1, 128))


def test_its_first_codes_are_those_of_moe_smoothquant():
    """The definition again, from the quantised rows of the definition of `moe_smoothquant`, in fp64 behind them."""
    arguments = smooth_layer(39, 64, 96)
    x, ids = arguments["x"], arguments["topk_ids"]
    q, scale = moe_smoothquant_reference(x, arguments["smooth_scale1"], ids, order="token_major")
    expected = np.zeros(x.shape)
    for row, (t, j) in enumerate(np.ndindex(ids.shape)):
        e = ids[t, j]
        first = arguments["w1"][e].astype(np.int64) @ q[row].astype(np.int64) * arguments["w1_scale"][e] * scale[row]
        gate, up = np.split(first, 2)
        m = gate / (1 + np.exp(-gate)) * up * arguments["smooth_scale2"][e]
        codes = np.rint(m * (127 / np.abs(m).max())) * (np.abs(m).max() / 127)
        expected[t] += arguments["w2"][e] @ codes * arguments["w2_scale"][e] * arguments["topk_weights"][t, j]
    assert distance(fused_moe_smoothquant[2](**arguments), expected).within(int8_tolerance("bfloat16", 1, 64))


def test_smooth_scales_of_one_leave_the_first_projection_of_fused_experts():
    arguments = smooth_layer(39, 128, 256)
    ones = {name: np.ones_like(arguments.pop(name)) for name in ("smooth_scale1", "smooth_scale2")}
    smoothed = fused_moe_smoothquant[2](**arguments, **ones)
    plain = fused_experts[2](**arguments, round_each=False)
    assert 0 < distance(smoothed, plain).rel_l2 < 1e-2  # act(g) * u is rounded to bf16 first in one of them


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.sampled_from([3, 64, 128, 256]), st.booleans(), st.integers(0, 2**31))
def test_neither_blocks_nor_cores_nor_the_order_of_tokens_change_a_bit(T, E, block_size, gated, seed):
    arguments = smooth_layer(T, 48, 130, E, min(E, 3), gated=gated, seed=seed)
    expected = bits(fused_moe_smoothquant(**arguments))
    np.testing.assert_array_equal(bits(fused_moe_smoothquant[2](**arguments, block_size=block_size)), expected)
    order = np.random.default_rng(seed).permutation(T)
    moved = arguments | {name: arguments[name][order] for name in ("x", "topk_weights", "topk_ids")}
    np.testing.assert_array_equal(bits(fused_moe_smoothquant[2](**moved)), expected[order])


def test_powers_of_two_move_from_tokens_to_smooth_scales_without_a_trace():
    arguments = smooth_layer(20, 64, 96)
    powers = (2.0 ** np.random.default_rng(0).integers(-3, 4, 96)).astype(np.float32)
    moved = arguments | {
        "x": (arguments["x"].astype(np.float32) / powers).astype(arguments["x"].dtype),
        "smooth_scale1": arguments["smooth_scale1"] * powers,
    }
    np.testing.assert_array_equal(bits(fused_moe_smoothquant(**moved)), bits(fused_moe_smoothquant(**arguments)))


@pytest.mark.parametrize("foreign", [-1, 8, 2**31 - 1])
def test_a_choice_of_no_expert_adds_nothing_and_one_twice_adds_twice(foreign):
    arguments = smooth_layer(39, 64, 128, k=2)
    ids, weights = arguments["topk_ids"], arguments["topk_weights"]
    once = fused_moe_smoothquant[2](**arguments | {"topk_ids": ids[:, :1], "topk_weights": weights[:, :1]})
    one_of_two = np.concatenate([ids[:, :1], np.full_like(ids[:, :1], foreign)], axis=1)
    np.testing.assert_array_equal(fused_moe_smoothquant[2](**arguments | {"topk_ids": one_of_two}), once)
    twice = {"topk_ids": ids[:, [0, 0]], "topk_weights": weights[:, [0, 0]]}
    found = fused_moe_smoothquant[2](**arguments | twice)
    np.testing.assert_array_equal(found.astype(np.float32), 2 * once.astype(np.float32))


@pytest.mark.parametrize("name", ["w1_scale", "w2_scale", "smooth_scale1", "smooth_scale2"])
def test_dead_scales_give_zeros(name):
    arguments = smooth_layer(9, 64, 128)
    arguments[name][:] = 0
    assert not fused_moe_smoothquant[2](**arguments).astype(np.float32).any()


@pytest.mark.parametrize("K", [8100, 8192])
def test_wide_rows_of_many_choices_are_added_to_their_last_column(K, monkeypatch):
    activate_as_the_simulator(monkeypatch)
    arguments = smooth_layer(3, 8, K, 6, 5)
    places = places_of_choices(fused_moe_smoothquant_reference, arguments)
    assert_as_defined(fused_moe_smoothquant[2](**arguments), fused_moe_smoothquant_reference(**arguments), places)


def test_there_may_be_no_tokens():
    assert fused_moe_smoothquant(**smooth_layer(0, 64, 128)).shape == (0, 128)


def test_late_transfers_change_nothing():
    def launch(kernel, *given):
        assert not Simulator("trn2", 2).compare_dma_orders(kernel, *given).findings
        return kernel[2](*given)

    fused_moe_smoothquant.launched_by(launch)(**smooth_layer(150, 96, 200))


def test_torch_in_gives_torch_out():
    torch = pytest.importorskip("torch")
    arguments = smooth_layer(20, 64, 130, gated=False)
    given = {name: torch.from_numpy(value) for name, value in arguments.items() if name != "x"}
    x = torch.from_numpy(arguments["x"].astype(np.float32)).bfloat16()
    found = fused_moe_smoothquant[2](x, **given)
    assert (found.dtype, found.shape) == (torch.bfloat16, x.shape)
    np.testing.assert_array_equal(found.float().numpy(), fused_moe_smoothquant[2](**arguments).astype(np.float32))
