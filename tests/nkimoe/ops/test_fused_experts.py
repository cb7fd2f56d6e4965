"""`fused_experts` gives what its definition gives, and what torch's integers give: SGLang's shapes, and what must not
matter.
"""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.expert_cases import (
    activate_as_the_simulator,
    assert_as_defined,
    in_torch,
    layer,
    places_of_choices,
    simulated_silu,
)

from nkimoe.ops import fused_experts
from nkimoe.reference.expert_ops import fused_experts_reference
from nkimoe.reference.tolerance import distance, tolerance
from nkisim import Simulator

# T, N, K, E and k: the shapes SGLang tests its own with, on x86 and in general.
PUBLISHED = [
    *((T, 128, 256, 8, 3) for T in (1, 39)),
    *((T, N, K, 8, 4) for T in (1, 6, 32, 64) for N in (256, 512) for K in (256, 512)),
]


def bits(result):
    return result.view(np.uint16)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", PUBLISHED, ids=str)
def test_the_peers_shapes_give_the_definition(shape, dtype, monkeypatch):
    arguments = layer(*shape, dtype=dtype)
    found = fused_experts[2](**arguments)
    bounds = tolerance(dtype, dtype, shape[-1])
    assert distance(found, fused_experts_reference(**arguments)).within(bounds)
    activate_as_the_simulator(monkeypatch)
    expected = fused_experts_reference(**arguments)
    assert_as_defined(found, expected, places_of_choices(fused_experts_reference, arguments))


@pytest.mark.parametrize("round_each", [True, False])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(1, 128, 256, 8, 3), (39, 128, 256, 8, 3), (32, 256, 512, 8, 4)], ids=str)
def test_the_peers_shapes_give_what_torch_computes_with_integers(shape, dtype, round_each):
    pytest.importorskip("torch")
    arguments = layer(*shape, dtype=dtype)
    expected = in_torch(arguments, simulated_silu, round_each)
    found = fused_experts[2](**arguments, round_each=round_each)
    assert_as_defined(found, expected, places_of_choices(fused_experts_reference, arguments))


@pytest.mark.parametrize("renormalised", [True, False])
@pytest.mark.parametrize("T", [2, 114])
def test_unquantised_experts_give_their_formula(T, renormalised):
    arguments = layer(T, 32, 32, 4, 2)
    w1, w2 = ((arguments[name] / 256).astype(ml_dtypes.bfloat16) for name in ("w1", "w2"))
    x, ids, weights = (arguments[name] for name in ("x", "topk_ids", "topk_weights"))
    if renormalised:
        weights = weights / weights.sum(axis=1, keepdims=True)
    found = fused_experts[2](x, w1, w2, weights, ids, quantization="unquant")
    expected = np.zeros(x.shape)
    for t, j in np.ndindex(ids.shape):
        gate, up = np.split(w1[ids[t, j]].astype(np.float64) @ x[t].astype(np.float64), 2)
        expected[t] += weights[t, j] * (w2[ids[t, j]].astype(np.float64) @ (gate / (1 + np.exp(-gate)) * up))
    assert distance(found, expected).within(tolerance("bfloat16", "bfloat16", 2))


def test_rounding_every_choice_is_another_result_than_rounding_the_sum():
    arguments = layer(39, 128, 256)
    each, once = (fused_experts(**arguments, round_each=rounds) for rounds in (True, False))
    assert not np.array_equal(bits(each), bits(once))
    assert distance(each, once).rel_l2 < 5e-3


def test_one_choice_is_rounded_once():
    arguments = layer(39, 128, 256, k=1)
    each, once = (fused_experts(**arguments, round_each=rounds) for rounds in (True, False))
    np.testing.assert_array_equal(bits(each), bits(once))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 140), st.integers(0, 2**31))
def test_permuted_tokens_give_permuted_rows(T, N, K, seed):
    arguments = layer(T, N, K, seed=seed)
    order = np.random.default_rng(seed).permutation(T)
    moved = arguments | {name: arguments[name][order] for name in ("x", "topk_weights", "topk_ids")}
    np.testing.assert_array_equal(bits(fused_experts[2](**moved)), bits(fused_experts(**arguments)[order]))


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.sampled_from([3, 64, 128, 256]), st.integers(0, 2**31))
def test_neither_blocks_nor_cores_change_a_bit(T, E, block_size, seed):
    arguments = layer(T, 48, 130, E, min(E, 3), seed=seed)
    expected = bits(fused_experts(**arguments))
    np.testing.assert_array_equal(bits(fused_experts[2](**arguments)), expected)
    np.testing.assert_array_equal(bits(fused_experts(**arguments, block_size=block_size)), expected)
    np.testing.assert_array_equal(bits(fused_experts[2](**arguments, block_size=block_size)), expected)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 30), st.integers(-6, 6), st.integers(0, 2**31))
def test_a_weight_scales_its_own_term(T, exponent, seed):
    arguments = layer(T, 40, 96, k=1, seed=seed)
    weights = np.where(np.arange(T)[:, None] % 2, np.float32(2.0**exponent), np.float32(1)) * arguments["topk_weights"]
    scaled = fused_experts(**arguments | {"topk_weights": weights.astype(np.float32)}).astype(np.float32)
    plain = fused_experts(**arguments).astype(np.float32)
    plain[1::2] *= np.float32(2.0**exponent)
    np.testing.assert_array_equal(scaled, plain)


@pytest.mark.parametrize("foreign", [-1, -(2**31), 8, 2**31 - 1])
def test_a_choice_of_no_expert_adds_nothing(foreign):
    arguments = layer(39, 64, 128)
    ids, weights = arguments["topk_ids"].copy(), arguments["topk_weights"].copy()
    ids[::2, 1] = foreign
    found = fused_experts[2](**arguments | {"topk_ids": ids})
    weights[::2, 1] = 0
    np.testing.assert_array_equal(found, fused_experts[2](**arguments | {"topk_weights": weights}))


def test_tokens_without_an_expert_are_zeros():
    arguments = layer(5, 64, 128)
    arguments["topk_ids"][[0, 3]] = -1
    found = fused_experts[2](**arguments).astype(np.float32)
    assert (~found.any(axis=1)).tolist() == [True, False, False, True, False]
    arguments["topk_ids"][:] = -1
    assert not fused_experts[2](**arguments).astype(np.float32).any()


def test_an_expert_that_a_token_names_twice_adds_twice():
    arguments = layer(39, 64, 128, k=2)
    ids, weights = arguments["topk_ids"], arguments["topk_weights"]
    ids[:, 1], weights[:, 1] = ids[:, 0], weights[:, 0]
    once = fused_experts(**arguments | {"topk_ids": ids[:, :1], "topk_weights": weights[:, :1]})
    np.testing.assert_array_equal(fused_experts(**arguments).astype(np.float32), 2 * once.astype(np.float32))


@pytest.mark.parametrize("k", [1, 8])
def test_there_may_be_no_tokens(k):
    arguments = layer(0, 64, 128, k=k)
    found = fused_experts(**arguments)
    assert (found.shape, found.dtype) == ((0, 128), arguments["x"].dtype)


@pytest.mark.parametrize("N", [232, 192, 352, 1, 129], ids=lambda N: f"I={N}")
def test_an_intermediate_size_of_any_rank_will_do(N, monkeypatch):
    activate_as_the_simulator(monkeypatch)
    arguments = layer(20, N, 200)
    expected = fused_experts_reference(**arguments)
    assert_as_defined(fused_experts[2](**arguments), expected, places_of_choices(fused_experts_reference, arguments))


@pytest.mark.parametrize("scale", [0, 1e-38, 1e-23])
def test_an_expert_whose_scales_are_dead_adds_zeros(scale):
    arguments = layer(20, 64, 128)
    arguments["w1_scale"][:], arguments["w2_scale"][:] = scale, scale
    np.testing.assert_array_equal(fused_experts[2](**arguments).astype(np.float32), np.zeros((20, 128)))


def test_tokens_of_zeros_give_zeros():
    arguments = layer(9, 64, 128)
    arguments["x"][2] = 0
    found = fused_experts[2](**arguments).astype(np.float32)
    assert not found[2].any()
    assert found[[0, 1, 3]].any(axis=1).all()


def test_activations_are_quantised_not_only_weights():
    """W8A16 of the same numbers is closer to exact than W8A8 can be, and another result."""
    arguments = layer(39, 128, 256, k=1)
    found = fused_experts(**arguments).astype(np.float64)
    x, ids, weights = (arguments[name] for name in ("x", "topk_ids", "topk_weights"))
    exact = np.zeros(x.shape)
    for t, (e,) in enumerate(ids):
        gate, up = np.split(arguments["w1"][e] * arguments["w1_scale"][e][:, None] @ x[t].astype(np.float64), 2)
        m = gate / (1 + np.exp(-gate)) * up
        exact[t] = weights[t, 0] * (arguments["w2"][e] * arguments["w2_scale"][e][:, None] @ m)
    assert 5e-3 < distance(found, exact).rel_l2 < 3e-2


def test_every_token_has_a_scale_of_its_own():
    arguments = layer(6, 64, 128)
    louder = arguments["x"].copy()
    louder[0] = (louder[0].astype(np.float32) * 64).astype(louder.dtype)
    plain, found = fused_experts[2](**arguments), fused_experts[2](**arguments | {"x": louder})
    np.testing.assert_array_equal(bits(found)[1:], bits(plain)[1:])


def test_scales_of_checkpoints_have_a_last_dimension_of_one():
    arguments = layer(6, 64, 128)
    scales = {name: arguments[name][..., None] for name in ("w1_scale", "w2_scale")}
    np.testing.assert_array_equal(bits(fused_experts(**arguments | scales)), bits(fused_experts(**arguments)))


def test_ids_of_64_bits_do_not_wrap_around():
    arguments = layer(6, 64, 128)
    ids = arguments["topk_ids"].astype(np.int64)
    np.testing.assert_array_equal(
        bits(fused_experts(**arguments | {"topk_ids": ids})), bits(fused_experts(**arguments))
    )
    ids[:] += 2**32
    assert not fused_experts(**arguments | {"topk_ids": ids}).astype(np.float32).any()


def test_late_transfers_change_nothing():
    arguments = layer(150, 96, 200)
    found = []

    def launch(kernel, *given):
        assert not Simulator("trn2", 2).compare_dma_orders(kernel, *given).findings
        found.append(kernel[2](*given))
        return found[0]

    fused_experts.launched_by(launch)(**arguments)
    assert len(found) == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_torch_in_gives_torch_out(dtype):
    torch = pytest.importorskip("torch")
    arguments = layer(20, 64, 130, dtype=dtype)
    expected = fused_experts[2](**arguments).astype(np.float32)
    given = {name: torch.from_numpy(value) for name, value in arguments.items() if name != "x"}
    x = torch.from_numpy(arguments["x"].astype(np.float32)).to(getattr(torch, dtype))
    found = fused_experts[2](x, **given)
    assert (found.dtype, found.shape) == (x.dtype, x.shape)
    np.testing.assert_array_equal(found.to(torch.float32).numpy(), expected)
    empty = {name: given[name][:0] for name in ("topk_weights", "topk_ids")}
    assert isinstance(fused_experts(x[:0], **given | empty), torch.Tensor)
