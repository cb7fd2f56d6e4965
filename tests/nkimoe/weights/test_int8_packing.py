"""int8 packing: scales column by column, half a step at most, and how many products fp32 adds without rounding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nkimoe import InputError
from nkimoe.weights import CodedExpert, Int8, exact_rows, experts_of, int8_arguments, pack, packing_named, quantize_int8
from nkimoe.weights import unpack as unpacked

MOST = 2**24  # integers up to here are exact in fp32


def layer(E=2, H=128, I=48, scale=1.0):
    rng = np.random.default_rng(0)
    shapes = ((E, H, 2, I), (E, I, H), (E, 2, I), (E, H))
    return experts_of(*((scale * rng.standard_normal(shape)).astype(np.float32) for shape in shapes))


def test_scales_are_the_largest_of_each_column_over_127():
    experts = layer()
    packed = pack(experts, packing_named("int8"))
    shapes = {name: tensor.shape for name, tensor in packed.items()}
    assert shapes == {
        "gate_up_proj_weight": (2, 128, 2, 48), "down_proj_weight": (2, 48, 128), "gate_up_proj_scale": (2, 1, 96),
        "down_proj_scale": (2, 1, 128), "gate_and_up_proj_bias": (2, 2, 48), "down_proj_bias": (2, 128),
    }  # fmt: skip
    for e, g, c in ((0, 0, 0), (0, 1, 0), (1, 0, 47), (1, 1, 13)):
        column = experts[e].gate_up[:, g, c]
        scale = packed["gate_up_proj_scale"][e, 0, g * 48 + c]
        assert scale == np.abs(column).max() / np.float32(127)
        codes = packed["gate_up_proj_weight"][e, :, g, c]
        np.testing.assert_array_equal(codes, [round(float(v / scale)) for v in column])
        assert np.abs(codes).max() == 127


@pytest.mark.parametrize(("H", "I"), [(2880, 65), (128, 16), (1, 1)])
def test_sizes_are_padded_inside_and_every_weight_comes_back_within_half_a_step(H, I):
    experts = layer(2, H, I)
    packed = pack(experts, Int8())
    assert packed["down_proj_weight"].shape == (2, -(-I // 16) * 16, -(-H // 128) * 128)
    assert not packed["gate_up_proj_weight"][:, H:].any()
    assert not packed["down_proj_weight"][:, I:].any()
    for expert, again in zip(experts, unpacked(packed, Int8(), H, I), strict=True):
        for name, axis in (("gate_up", 0), ("down", 0)):
            given, back = getattr(expert, name), getattr(again, name)
            step = np.abs(given).max(axis=axis, keepdims=True) / 127
            assert (np.abs(back - given) <= 0.5001 * step).all()
        np.testing.assert_array_equal(again.down_bias, expert.down_bias)


def test_a_column_of_zeros_has_codes_of_zero_and_a_finite_scale():
    codes, scale = quantize_int8(np.zeros((4, 3), np.float32), 0, "weight")
    assert not codes.any()
    assert (scale > 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_the_name_of_the_tensor(value):
    experts = layer()
    experts[1].down[3, 4] = value
    with pytest.raises(InputError, match="down_proj_weight: is finite"):
        pack(experts, Int8())


def test_experts_in_int8_are_not_quantised_anew():
    rng = np.random.default_rng(0)
    codes = [rng.integers(-128, 128, shape).astype(np.int8) for shape in ((130, 2, 20), (20, 130))]
    scales = [rng.uniform(1, 2, shape).astype(np.float32) for shape in ((2, 20), (130,))]
    expert = CodedExpert(*codes, gate_up_scale=scales[0], down_scale=scales[1])
    packed = Int8().pack_expert(expert)
    np.testing.assert_array_equal(packed["gate_up_proj_weight"][:130, :, :20], codes[0])
    np.testing.assert_array_equal(packed["down_proj_weight"][:20, :130], codes[1])
    np.testing.assert_array_equal(packed["gate_up_proj_scale"].reshape(2, -1)[:, :20], scales[0])
    np.testing.assert_array_equal(packed["down_proj_scale"][0, :130], scales[1])


def largest_prefix(codes, rows):
    """Of the sums of |w| * 127 over `rows` rows of a column [K, columns], wherever a tile starts."""
    starts = range(0, len(codes), 128)
    return max(int(np.abs(codes[s : s + rows].astype(np.int64)).sum(axis=0).max()) * 127 for s in starts)


@given(st.integers(1, 6), st.integers(1, 127), st.integers(0, 2**31))
def test_sums_over_the_exact_rows_have_24_bits_at_most(tiles, largest, seed):
    codes = np.random.default_rng(seed).integers(-largest, largest + 1, (1, tiles * 512, 2)).astype(np.int8)
    rows = exact_rows(codes[:, :, None], np.zeros((1, 2, 16), np.int8))
    assert rows % 1024 == 0
    assert rows >= 1024
    assert rows <= 1024 or largest_prefix(codes[0], min(rows, codes.shape[1])) <= MOST


def test_any_weights_are_exact_over_1024_rows_and_light_ones_over_all():
    heavy = np.full((1, 4096, 2, 16), 127, np.int8)
    down = np.zeros((1, 16, 4096), np.int8)
    assert exact_rows(heavy, down) == 1024
    assert exact_rows(heavy // 127, down) > 4096
    assert exact_rows(heavy[:, :1024], down) >= 1024


def test_the_arguments_beside_the_tensors_are_those_of_int8_activations():
    experts = layer()
    packed = pack(experts, Int8())
    arguments = int8_arguments(experts, packed)
    assert arguments["activation_quantization"] == "int8_per_token"
    assert arguments["quantization_config"].exact_rows >= 1024
