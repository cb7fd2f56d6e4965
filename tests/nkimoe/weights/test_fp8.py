"""FP8 row and static quantisation: the contract's shapes, scales column by column, and what is refused."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nkimoe import InputError
from nkimoe.weights import Expert, Fp8Row, Fp8Static, experts_of, pack, packing_named, unpack

LARGEST = {ml_dtypes.float8_e4m3: 240.0, ml_dtypes.float8_e4m3fn: 448.0, ml_dtypes.float8_e5m2: 57344.0}
DTYPES = pytest.mark.parametrize("dtype", LARGEST)
EPSILON = {ml_dtypes.float8_e4m3: 2.0**-4, ml_dtypes.float8_e4m3fn: 2.0**-4, ml_dtypes.float8_e5m2: 2.0**-3}


def layer(E=2, H=128, I=48, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    shapes = ((E, H, 2, I), (E, I, H))
    return experts_of(*((scale * rng.standard_normal(shape)).astype(np.float32) for shape in shapes))


@DTYPES
def test_row_scales_are_the_largest_of_each_column(dtype):
    experts = layer()
    packed = pack(experts, Fp8Row(dtype))
    shapes = {name: tensor.shape for name, tensor in packed.items()}
    assert shapes == {
        "gate_up_proj_weight": (2, 128, 2, 48),
        "down_proj_weight": (2, 48, 128),
        "gate_up_proj_scale": (2, 1, 96),
        "down_proj_scale": (2, 1, 128),
    }
    for e, g, c in ((0, 0, 0), (0, 1, 0), (1, 0, 47), (1, 1, 13)):
        column = experts[e].gate_up[:, g, c]
        scale = packed["gate_up_proj_scale"][e, 0, g * 48 + c]
        assert scale == np.float32(np.abs(column).max()) / np.float32(LARGEST[dtype])
        expected = np.array([dtype(min(max(v / scale, -LARGEST[dtype]), LARGEST[dtype])) for v in column])
        np.testing.assert_array_equal(packed["gate_up_proj_weight"][e, :, g, c], expected)
    np.testing.assert_allclose(
        packed["down_proj_scale"][:, 0], [np.abs(e.down).max(axis=0) / LARGEST[dtype] for e in experts], rtol=1e-6
    )


@DTYPES
def test_static_scales_are_the_largest_of_each_matrix(dtype):
    experts = layer()
    packed = pack(experts, Fp8Static(dtype))
    assert packed["gate_up_proj_scale"].shape == (2, 2, 1)
    assert packed["down_proj_scale"].shape == (2, 1)
    for e, expert in enumerate(experts):
        for g in (0, 1):
            amax = np.abs(expert.gate_up[:, g]).max()
            assert packed["gate_up_proj_scale"][e, g, 0] == amax / np.float32(LARGEST[dtype])
            assert np.abs(packed["gate_up_proj_weight"][e, :, g].astype(np.float32)).max() == LARGEST[dtype]
        assert packed["down_proj_scale"][e, 0] == np.abs(expert.down).max() / np.float32(LARGEST[dtype])


@DTYPES
@pytest.mark.parametrize("packing", [Fp8Row, Fp8Static])
@pytest.mark.parametrize(("H", "I"), [(2880, 65), (128, 16), (1, 1)])
def test_sizes_are_padded_inside_and_every_weight_comes_back_within_half_a_step(packing, dtype, H, I):
    experts = layer(2, H, I)
    packed = pack(experts, packing(dtype))
    padded_H, padded_I = -(-H // 128) * 128, -(-I // 16) * 16
    assert packed["gate_up_proj_weight"].shape == (2, padded_H, 2, padded_I)
    assert packed["down_proj_weight"].shape == (2, padded_I, padded_H)
    assert not packed["gate_up_proj_weight"][:, H:].astype(np.float32).any()
    assert not packed["down_proj_weight"][:, I:].astype(np.float32).any()
    for expert, again in zip(experts, unpack(packed, packing(dtype), H, I), strict=True):
        for a, b in ((expert.gate_up, again.gate_up), (expert.down, again.down)):
            assert a.shape == b.shape
            smallest = np.abs(a).max() / LARGEST[dtype] * float(ml_dtypes.finfo(dtype).smallest_subnormal)
            assert (np.abs(a - b) <= np.maximum(np.abs(a) * EPSILON[dtype], smallest) * 1.001).all()


def test_quantising_again_changes_nothing():
    packing = Fp8Row(ml_dtypes.float8_e4m3)
    packed = pack(layer(), packing)
    again = pack(unpack(packed, packing, 128, 48), packing)
    for name, tensor in packed.items():
        if name.endswith("_weight"):
            np.testing.assert_array_equal(again[name].view(np.uint8), tensor.view(np.uint8))
        else:
            np.testing.assert_allclose(again[name], tensor, rtol=1e-6)


@pytest.mark.parametrize("packing", [Fp8Row(), Fp8Static()])
@pytest.mark.parametrize("value", [0.0, -0.0, 2.0**-149, 1e-38])
def test_columns_of_nothing_have_finite_scales(packing, value):
    packed = pack(experts_of(np.full((1, 128, 2, 16), value, np.float32), np.zeros((1, 16, 128), np.float32)), packing)
    for name in ("gate_up_proj_scale", "down_proj_scale"):
        assert np.isfinite(packed[name]).all()
        assert (packed[name] >= np.finfo(np.float32).tiny).all()
    assert not packed["gate_up_proj_weight"].astype(np.float32).any()


@pytest.mark.parametrize("packing", [Fp8Row(), Fp8Static()])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["gate_up", "down"])
def test_values_without_a_scale_are_refused_by_name(packing, bad, name):
    expert = layer(1)[0]
    getattr(expert, name)[3, 1] = bad
    with pytest.raises(InputError, match=f"{name}_proj_weight: is finite; got NaN or infinity"):
        packing.pack_expert(expert)


@given(scale=st.integers(-20, 20))
def test_a_power_of_two_goes_into_the_scale_alone(scale):
    plain, scaled = (pack(layer(1, scale=f), Fp8Row()) for f in (1.0, 2.0**scale))
    np.testing.assert_array_equal(plain["down_proj_weight"].view(np.uint8), scaled["down_proj_weight"].view(np.uint8))
    np.testing.assert_array_equal(plain["down_proj_scale"] * np.float32(2.0**scale), scaled["down_proj_scale"])


def test_biases_are_kept_and_padded():
    rng = np.random.default_rng(0)
    expert = Expert(rng.random((100, 2, 20)), rng.random((20, 100)), rng.random((2, 20)), rng.random(100))
    packed = Fp8Row().pack_expert(expert)
    assert packed["gate_and_up_proj_bias"].shape == (2, 32)
    assert packed["down_proj_bias"].shape == (128,)
    again = Fp8Row().unpack_expert(packed, 100, 20)
    np.testing.assert_array_equal(again.gate_up_bias, expert.gate_up_bias)
    np.testing.assert_array_equal(again.down_bias, expert.down_bias)


def test_each_target_has_its_type():
    assert packing_named("fp8-row", "trn2") == Fp8Row(np.dtype(ml_dtypes.float8_e4m3))
    assert packing_named("fp8-static", "trn3") == Fp8Static(np.dtype(ml_dtypes.float8_e4m3fn))
