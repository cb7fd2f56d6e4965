"""OCP e4m3fn to Trn2's e4m3, over all codes."""

import ml_dtypes
import numpy as np
import pytest

from nkimoe import InputError, RequestError
from nkimoe.weights import Fp8Row, Fp8Static, Rounding, experts_of, legacy_fp8, pack, to_legacy_e4m3

CODES = np.arange(256, dtype=np.uint8)
FINITE = CODES[(CODES & 127) != 127].view(ml_dtypes.float8_e4m3fn)
REAL = FINITE.astype(np.float32)


def real(values, scale):
    return values.astype(np.float32) * scale


def test_codes_up_to_240_are_kept_with_their_scale():
    values = FINITE[np.abs(REAL) <= 240].reshape(-1, 1)
    legacy, scale, rounding = to_legacy_e4m3(values, np.full((1, 1), 0.3, np.float32))
    np.testing.assert_array_equal(legacy.view(np.uint8), values.view(np.uint8))
    np.testing.assert_array_equal(scale, np.float32(0.3))
    assert rounding == Rounding(values.size, 0, 0.0, 1, 0)


def test_larger_values_are_halved_and_only_small_odd_ones_are_rounded():
    legacy, scale, rounding = to_legacy_e4m3(FINITE.reshape(-1, 1), np.full((1, 1), 0.5, np.float32))
    assert legacy.dtype == ml_dtypes.float8_e4m3
    assert np.isfinite(legacy.astype(np.float32)).all()
    np.testing.assert_array_equal(scale, 1.0)
    changed = real(legacy, scale)[:, 0] * 2 != REAL
    steps = np.abs(REAL) / 2.0**-9
    np.testing.assert_array_equal(changed, (np.abs(REAL) < 2.0**-5) & (steps % 2 == 1))
    assert rounding == Rounding(254, 16, 2.0**-9 * 0.5, 1, 1)
    assert np.count_nonzero(changed) == rounding.rounded


@pytest.mark.parametrize("value", [256.0, -256.0, 448.0])
def test_one_larger_value_is_enough(value):
    legacy, scale, rounding = to_legacy_e4m3(np.array([[value]], ml_dtypes.float8_e4m3fn), np.ones((1, 1), np.float32))
    assert real(legacy, scale) == value
    assert rounding == Rounding(1, 0, 0.0, 1, 1)


def test_each_column_decides_for_itself():
    values = np.array([[1.0, 448.0], [240.0, -0.009765625]], ml_dtypes.float8_e4m3fn)
    legacy, scale, rounding = to_legacy_e4m3(values, np.array([[2.0, 3.0]], np.float32))
    np.testing.assert_array_equal(scale, [[2.0, 6.0]])
    np.testing.assert_array_equal(legacy.astype(np.float32), [[1, 224], [240, -0.00390625]])
    assert rounding == Rounding(4, 1, 3 * 2.0**-9, 2, 1)


@pytest.mark.parametrize("packing", [Fp8Row, Fp8Static])
def test_layers_for_trn3_are_turned_into_layers_for_trn2(packing):
    rng = np.random.default_rng(0)
    experts = experts_of(rng.standard_normal((3, 128, 2, 32)), rng.standard_normal((3, 32, 128)))
    ocp = pack(experts, packing(ml_dtypes.float8_e4m3fn))
    legacy, lost = legacy_fp8(ocp)
    assert {name: (tensor.shape) for name, tensor in legacy.items()} == {n: t.shape for n, t in ocp.items()}
    groups = {"gate_up_proj_weight": 3 * 64, "down_proj_weight": 3 * 128} if packing is Fp8Row else {
        "gate_up_proj_weight": 6, "down_proj_weight": 3,
    }  # fmt: skip
    for name, count in groups.items():
        assert legacy[name].dtype == ml_dtypes.float8_e4m3
        assert lost[name].groups == lost[name].halved == count
        before, after = (t[name].astype(np.float32) for t in (ocp, legacy))
        assert np.count_nonzero(before != 2 * after) == lost[name].rounded
        np.testing.assert_array_equal(legacy[name.replace("weight", "scale")], 2 * ocp[name.replace("weight", "scale")])


def test_other_types_shapes_and_nan_are_refused():
    with pytest.raises(RequestError, match="is float8_e4m3fn; got float8_e4m3"):
        to_legacy_e4m3(np.zeros((2, 2), ml_dtypes.float8_e4m3), np.ones((1, 2), np.float32))
    with pytest.raises(RequestError, match=r"scale: broadcasts against \(2, 2\); got \(2,\)"):
        to_legacy_e4m3(np.zeros((2, 2), ml_dtypes.float8_e4m3fn), np.ones(2, np.float32))
    with pytest.raises(RequestError, match=r"scale: broadcasts against \(2, 2\); got \(2, 3\)"):
        to_legacy_e4m3(np.zeros((2, 2), ml_dtypes.float8_e4m3fn), np.ones((2, 3), np.float32))
    with pytest.raises(InputError, match="are finite; got NaN"):
        to_legacy_e4m3(np.full((2, 2), np.nan, ml_dtypes.float8_e4m3fn), np.ones((1, 2), np.float32))
