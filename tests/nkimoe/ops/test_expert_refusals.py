"""What operations with experts cannot do is refused before a launch, by argument, rule, value and what to do."""

import numpy as np
import pytest
from support.expert_cases import layer, shared_layer, smooth_layer

from nkimoe.errors import InputError, RequestError
from nkimoe.ops import fused_experts, fused_moe_smoothquant, shared_expert

T, N, K, E = 6, 8, 16, 4
ROUTED, SMOOTH, SHARED = layer(T, N, K, E, 2), smooth_layer(T, N, K, E, 2), shared_layer(T, N, K)
NAMED = {"fused_experts": (fused_experts, ROUTED), "fused_moe_smoothquant": (fused_moe_smoothquant, SMOOTH),
         "shared_expert": (shared_expert, SHARED)}  # fmt: skip
ZEROS = np.zeros((T, E + 1), np.int32)


class NeverLaunched(Exception):
    """A launch that must not happen."""


def refused(operation, arguments, **changes):
    """What is raised by changed arguments, which are accepted without the change."""

    def launch(*_):
        raise NeverLaunched

    with pytest.raises(NeverLaunched):
        operation.launched_by(launch)(**arguments)
    with pytest.raises((RequestError, InputError)) as caught:
        operation.launched_by(launch)(**arguments | changes)
    assert caught.value.fix
    return caught.value


def tensors_of(arguments):
    return [name for name, value in arguments.items() if isinstance(value, np.ndarray)]


EVERY_TENSOR = [(name, tensor) for name, (_, arguments) in NAMED.items() for tensor in tensors_of(arguments)]
FLOATS = [(name, tensor) for name, tensor in EVERY_TENSOR if tensor not in ("w1", "w2", "topk_ids")]


@pytest.mark.parametrize(("name", "tensor"), EVERY_TENSOR)
def test_every_tensor_is_a_tensor_of_its_type_and_shape(name, tensor):
    operation, arguments = NAMED[name]
    given = arguments[tensor]
    depends = {"x": {"w1", "topk_ids", "fused_experts_out"}, "topk_ids": {"topk_weights"}, "w1": {"w2"}}
    for wrong in (None, given.tolist(), given.astype(np.float64), given[..., :-1], given[:-1], given[None, None]):
        found = refused(operation, arguments, **{tensor: wrong}).argument
        assert found == tensor or found in depends.get(tensor, ())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "tensor"), FLOATS)
def test_values_that_are_no_numbers_are_refused_by_tensor_and_place(name, tensor, bad):
    operation, arguments = NAMED[name]
    values = arguments[tensor].copy()
    values[(-1,) * values.ndim] = bad
    error = refused(operation, arguments, **{tensor: values})
    assert isinstance(error, InputError)
    assert error.argument == tensor
    place = ", ".join(str(n - 1) for n in values.shape)
    assert f"{place})" in str(error)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": ROUTED["x"][:, :0]}, r"x: is \[tokens, columns\], with 1 to 8192 columns; got \(6, 0\)"),
        ({"x": np.zeros((T, 8193), np.float16)}, "x: is .*, with 1 to 8192 columns"),
        ({"w1": ROUTED["w1"][:0]}, "w1: has at least one expert"),
        ({"w1": ROUTED["w1"][:, :0]}, r"w1: is \[E, 2N, 16\]"),
        ({"w1": ROUTED["w1"][:, :-1]}, r"w1: is \[E, 2N, 16\]; got \(4, 15, 16\)"),
        ({"w1": ROUTED["w1"].view(np.uint8)}, "w1: is int8; got uint8"),
        ({"w2": ROUTED["w2"][:, :, :-1]}, r"w2: is \(4, 16, 8\); got \(4, 16, 7\)"),
        ({"w1_scale": None}, "w1_scale: is given with int8_w8a8; got None"),
        ({"w2_scale": None}, "w2_scale: is given with int8_w8a8; got None"),
        ({"w1_scale": ROUTED["w1_scale"][..., None, None]}, r"w1_scale: is \(4, 16\) or \(4, 16, 1\)"),
        ({"w1_scale": ROUTED["w1_scale"].astype(np.float16)}, "w1_scale: is float32; got float16"),
        ({"topk_ids": ROUTED["topk_ids"].astype(np.int16)}, "topk_ids: is int32 or int64; got int16"),
        ({"topk_ids": ZEROS, "topk_weights": ZEROS.astype(np.float32)}, r"topk_ids: is \[6, k\], k from 1 to 4"),
        ({"topk_ids": ZEROS[:, :0], "topk_weights": ZEROS[:, :0].astype(np.float32)}, "k from 1 to 4"),
        ({"topk_weights": ROUTED["topk_weights"].astype(np.float16)}, "topk_weights: is float32"),
        ({"quantization": "fp8_w8a16"}, "quantization: is int8_w8a8 or unquant; got 'fp8_w8a16'"),
        ({"quantization": "INT8_W8A8"}, "quantization: is int8_w8a8 or unquant"),
        ({"quantization": None}, "quantization: is a text; got None"),
        ({"quantization": ["int8_w8a8"]}, "quantization: is a text; got"),
        ({"quantization": "unquant"}, "w1: is bfloat16; got int8"),
        ({"round_each": 1}, "round_each: is True or False; got 1"),
        ({"round_each": None}, "round_each: is True or False; got None"),
        *(({"block_size": size}, "block_size: is a positive int or None") for size in (0, -1)),
        *(({"block_size": size}, "block_size: is an integer below .* or None") for size in (True, 1.5, "128")),
    ],
)
def test_what_fused_experts_cannot_do_is_named(changes, message):
    error = refused(fused_experts, ROUTED, **changes)
    with pytest.raises(type(error), match=message):
        raise error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "relu"}, "activation: is silu or gelu"),
        *(({"activation": wrong}, "activation: is a text; got") for wrong in (None, 0, ["silu"])),
        ({"smooth_scale1": None}, "smooth_scale1: is a NumPy array or a torch tensor; got NoneType"),
        ({"smooth_scale2": SMOOTH["smooth_scale1"]}, r"smooth_scale2: is \(4, 8\)"),
        ({"smooth_scale1": np.full((E, K), 3e38, np.float32), "x": SMOOTH["x"] * 9},
         r"smooth_scale1: gives products with x up to 2\*\*127"),
        ({"w1": SMOOTH["w1"][:, :-1]}, r"w1: is \[E, 2N, 16\]; got \(4, 15, 16\)"),
        ({"w1": SMOOTH["w1"][:, :N]}, r"w1_scale: is \(4, 8\)"),  # gate only: its scales are, too
        ({"block_size": True}, "block_size: is an integer below .* or None; got True"),
    ],
)  # fmt: skip
def test_what_fused_moe_smoothquant_cannot_do_is_named(changes, message):
    error = refused(fused_moe_smoothquant, SMOOTH, **changes)
    with pytest.raises(type(error), match=message):
        raise error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({"routed_scaling_factor": wrong}, "routed_scaling_factor: is a number of fp32")
          for wrong in (np.nan, np.inf, 1e39)),
        *(({"routed_scaling_factor": wrong}, "routed_scaling_factor: is a number; got") for wrong in (True, None, "2")),
        ({"w1": SHARED["w1"][None]}, "w1: has two dimensions"),
        ({"w2": SHARED["w2"][0]}, "w2: has two dimensions"),
        ({"fused_experts_out": SHARED["fused_experts_out"].astype(np.float16)}, "fused_experts_out: is bfloat16"),
        ({"fused_experts_out": SHARED["fused_experts_out"][:-1]}, r"fused_experts_out: is bfloat16 \(6, 16\)"),
        ({"w2_scale": None}, "w2_scale: is given with int8_w8a8"),
        ({"quantization": "w8a8_int8"}, "quantization: is int8_w8a8 or unquant"),
    ],
)  # fmt: skip
def test_what_shared_expert_cannot_do_is_named(changes, message):
    error = refused(shared_expert, SHARED, **changes)
    with pytest.raises(type(error), match=message):
        raise error


@pytest.mark.parametrize("factor", [2, np.float32(2), np.int32(2), 2.0])
def test_a_factor_is_any_real_number(factor):
    found = shared_expert(**SHARED | {"routed_scaling_factor": factor})
    np.testing.assert_array_equal(found, shared_expert(**SHARED | {"routed_scaling_factor": 2.0}))


def test_unquantised_weights_have_no_scales():
    plain = {name: ROUTED[name].astype(ROUTED["x"].dtype) for name in ("w1", "w2")}
    given = {name: ROUTED[name] for name in ("x", "topk_weights", "topk_ids")} | plain | {"quantization": "unquant"}
    for name in ("w1_scale", "w2_scale"):
        error = refused(fused_experts, given, **{name: ROUTED[name]})
        assert (error.argument, "is for int8_w8a8" in str(error)) == (name, True)


def test_numpy_and_torch_do_not_mix():
    torch = pytest.importorskip("torch")
    for operation, arguments in NAMED.values():
        for name in tensors_of(arguments):
            if name in ("x", "topk_ids", "topk_weights"):  # routing is read on the host
                continue
            values = arguments[name]
            is_bf16 = name == "fused_experts_out"
            tensor = torch.from_numpy(values.astype(np.float32)).bfloat16() if is_bf16 else torch.from_numpy(values)
            error = refused(operation, arguments, **{name: tensor})
            assert (error.argument, "is a NumPy array, as x; got Tensor" in str(error)) == (name, True)


def test_cores_are_one_or_two():
    with pytest.raises(RequestError, match="cores: is 1 or 2; got 3"):
        fused_experts[3](**ROUTED)
