"""`shared_expert` gives what its definition gives: SGLang's shapes, and what must not matter."""

import ml_dtypes
import numpy as np
import pytest
from support.expert_cases import (
    activate_as_the_simulator,
    assert_as_defined,
    in_torch,
    last_place,
    shared_layer,
    simulated_silu,
)

from nkimoe.ops import fused_experts, shared_expert
from nkimoe.reference.expert_ops import shared_expert_reference
from nkimoe.reference.tolerance import distance, tolerance

PUBLISHED = [(T, N, K) for T in (2, 121) for N in (32, 128) for K in (32, 64)]


def places(arguments, expected):
    """fp32 [T, K]: a last place of what is added, or of the sum if that is larger."""
    routed = arguments["fused_experts_out"].astype(np.float32) * np.float32(arguments["routed_scaling_factor"])
    return last_place(np.maximum(np.abs(routed), np.abs(expected.astype(np.float32))), expected.dtype)


def bits(result):
    return result.view(np.uint16)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", PUBLISHED, ids=str)
def test_the_peers_shapes_give_the_definition(shape, dtype, monkeypatch):
    arguments = shared_layer(*shape, dtype=dtype)
    found = shared_expert[2](**arguments)
    assert distance(found, shared_expert_reference(**arguments)).within(tolerance(dtype, dtype, 1))
    activate_as_the_simulator(monkeypatch)
    expected = shared_expert_reference(**arguments)
    assert_as_defined(found, expected, places(arguments, expected))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_expert_alone_is_what_torch_computes_with_integers(dtype):
    pytest.importorskip("torch")
    arguments = shared_layer(40, 128, 64, dtype)
    arguments["fused_experts_out"][:] = 0
    as_routed = {name: arguments[name][None] for name in ("w1", "w2", "w1_scale", "w2_scale")} | {
        "x": arguments["x"], "topk_weights": np.ones((40, 1), np.float32), "topk_ids": np.zeros((40, 1), np.int32),
    }  # fmt: skip
    expected = in_torch(as_routed, simulated_silu)
    np.testing.assert_array_equal(shared_expert[2](**arguments), expected)
    np.testing.assert_array_equal(fused_experts[2](**as_routed), expected)


@pytest.mark.parametrize("factor", [1.5, 1, -2.0, 0.0])
def test_the_factor_multiplies_the_routed_results_once(factor):
    arguments = shared_layer(9, 32, 64)
    arguments["w2"][:] = 0
    found = shared_expert(**arguments | {"routed_scaling_factor": factor})
    routed = arguments["fused_experts_out"].astype(np.float32)
    np.testing.assert_array_equal(found, (routed * np.float32(factor)).astype(found.dtype))


def test_the_sum_is_rounded_once():
    """An expert's result far below the last place of the routed one moves a tie."""
    arguments = shared_layer(3, 32, 64)
    arguments["fused_experts_out"][:] = ml_dtypes.bfloat16(129)
    arguments["routed_scaling_factor"] = 1 + 2.0**-8  # 129.50390625, just above a tie of bf16
    found, expected = shared_expert(**arguments), shared_expert_reference(**arguments)
    np.testing.assert_array_equal(found, expected)
    assert set(np.unique(found.astype(np.float32))) <= {129.0, 130.0}


def test_cores_change_no_bit_and_tokens_do_not_see_each_other():
    arguments = shared_layer(300, 96, 200)
    order = np.random.default_rng(0).permutation(300)
    moved = arguments | {name: arguments[name][order] for name in ("x", "fused_experts_out")}
    expected = shared_expert(**arguments)
    np.testing.assert_array_equal(bits(shared_expert[2](**arguments)), bits(expected))
    np.testing.assert_array_equal(bits(shared_expert[2](**moved)), bits(expected[order]))


@pytest.mark.parametrize("N", [232, 192, 352, 1, 129], ids=lambda N: f"I={N}")
@pytest.mark.parametrize("K", [1, 33, 128])
def test_any_sizes_will_do(N, K, monkeypatch):
    activate_as_the_simulator(monkeypatch)
    arguments = shared_layer(20, N, K)
    expected = shared_expert_reference(**arguments)
    assert_as_defined(shared_expert[2](**arguments), expected, places(arguments, expected))


def test_unquantised_weights_give_their_formula():
    arguments = shared_layer(50, 32, 64)
    w1, w2 = ((arguments.pop(name) / 256).astype(ml_dtypes.bfloat16) for name in ("w1", "w2"))
    x, routed = (arguments[name].astype(np.float64) for name in ("x", "fused_experts_out"))
    gate, up = np.split(x @ w1.astype(np.float64).T, 2, axis=1)
    expected = (gate / (1 + np.exp(-gate)) * up) @ w2.astype(np.float64).T + 16 * routed
    kept = {name: arguments[name] for name in ("x", "fused_experts_out", "routed_scaling_factor")}
    found = shared_expert[2](**kept, w1=w1, w2=w2, quantization="unquant")
    assert distance(found, expected).within(tolerance("bfloat16", "bfloat16", 1))


@pytest.mark.parametrize("scale", [0, 1e-38])
def test_dead_scales_leave_the_routed_results(scale):
    arguments = shared_layer(9, 32, 64)
    arguments["w1_scale"][:] = arguments["w2_scale"][:] = scale
    found = shared_expert(**arguments | {"routed_scaling_factor": 1.0})
    np.testing.assert_array_equal(found, arguments["fused_experts_out"])


def test_there_may_be_no_tokens():
    found = shared_expert(**shared_layer(0, 32, 64))
    assert (found.shape, found.dtype) == ((0, 64), ml_dtypes.bfloat16)


def test_torch_in_gives_torch_out():
    torch = pytest.importorskip("torch")
    arguments = shared_layer(20, 32, 66)
    given = {name: torch.from_numpy(arguments[name]) for name in ("w1", "w2", "w1_scale", "w2_scale")}
    x, routed = (torch.from_numpy(arguments[name].astype(np.float32)).bfloat16() for name in ("x", "fused_experts_out"))
    found = shared_expert[2](x, fused_experts_out=routed, routed_scaling_factor=16.0, **given)
    assert (found.dtype, found.shape) == (torch.bfloat16, x.shape)
    np.testing.assert_array_equal(found.float().numpy(), shared_expert[2](**arguments).astype(np.float32))
