"""Conversion between data types: rounding, saturation, NaN."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nkisim.dtypes import DTYPES, convert, dtype_of, to_float32

FP8 = ("float8_e4m3", "float8_e4m3fn", "float8_e5m2")
EIGHT_BITS = (*FP8, "float8_e8m0fnu", "int8", "uint8")
LARGEST = {"float8_e4m3": 240.0, "float8_e4m3fn": 448.0, "float8_e5m2": 57344.0}
EXPONENT_AND_MANTISSA = {"float8_e4m3": (4, 3), "float8_e4m3fn": (4, 3), "float8_e5m2": (5, 2)}
FLOATS32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
NEAR_TIES = st.builds(
    lambda upper, bit, nudge: float(np.uint32((upper << bit + 1 | 1 << bit) + nudge).view(np.float32)),
    st.integers(0, 2**13 - 1),
    st.sampled_from([12, 15]),
    st.integers(-1, 1),
)


def codes(name):
    """Every value of an 8-bit type, in the order of its bits."""
    return np.arange(256, dtype=np.uint8).view(dtype_of(name).numpy)


def decode(code, exponent_bits, mantissa_bits):
    """The value of an 8-bit float from its bits, by the definition of the format; specials excluded."""
    sign, bias = (-1.0 if code & 0x80 else 1.0), 2 ** (exponent_bits - 1) - 1
    exponent, mantissa = (code & 0x7F) >> mantissa_bits, code & (2**mantissa_bits - 1)
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
    return sign * (1 + mantissa / 2**mantissa_bits) * 2.0 ** (exponent - bias)


@pytest.mark.parametrize("name", FP8)
def test_every_finite_8_bit_float_has_the_value_of_its_bits(name):
    for code, value in enumerate(to_float32(codes(name))):
        if math.isfinite(value):
            assert value == decode(code, *EXPONENT_AND_MANTISSA[name])


@pytest.mark.parametrize("name", EIGHT_BITS)
def test_every_8_bit_value_survives_a_round_trip_through_float32(name):
    values = codes(name)
    finite = np.isfinite(to_float32(values))
    back = convert(to_float32(values), dtype_of(name))
    assert back.dtype == dtype_of(name).numpy
    np.testing.assert_array_equal(back.view(np.uint8)[finite], values.view(np.uint8)[finite])


@pytest.mark.parametrize("name", FP8)
def test_every_float8_rounds_to_the_nearest_and_ties_go_to_even(name):
    dtype = dtype_of(name)
    top = int(np.flatnonzero(to_float32(codes(name)) == LARGEST[name])[0])
    ordered = to_float32(np.arange(top + 1, dtype=np.uint8).view(dtype.numpy)).astype(np.float64)
    assert (np.diff(ordered) > 0).all()
    middle = (ordered[:-1] + ordered[1:]) / 2
    even = np.arange(top) + np.arange(top) % 2
    for sign, bit in ((1, 0), (-1, 0x80)):
        at = convert((sign * middle).astype(np.float32), dtype).view(np.uint8)
        np.testing.assert_array_equal(at, even | bit)
        above = np.nextafter(middle.astype(np.float32), np.float32(np.inf))
        below = np.nextafter(middle.astype(np.float32), np.float32(-np.inf))
        np.testing.assert_array_equal(convert(sign * above, dtype).view(np.uint8), np.arange(1, top + 1) | bit)
        np.testing.assert_array_equal(convert(sign * below, dtype).view(np.uint8), np.arange(top) | bit)


@pytest.mark.parametrize("name", FP8)
def test_float8_saturates(name):
    values = np.array([1e30, -1e30, np.inf, -np.inf, LARGEST[name] * 1.2, 3.4e38], np.float32)
    signs = [1, -1, 1, -1, 1, 1]
    np.testing.assert_array_equal(to_float32(convert(values, dtype_of(name))), np.multiply(signs, LARGEST[name]))


@pytest.mark.parametrize("name", [*FP8, "float16", "bfloat16", "tfloat32", "float32"])
def test_nan_stays_nan_and_zero_keeps_its_sign(name):
    values = convert(np.array([np.nan, -0.0, 0.0], np.float32), dtype_of(name))
    assert np.isnan(to_float32(values)[0])
    np.testing.assert_array_equal(np.signbit(to_float32(values)[1:]), [True, False])


def test_16_bit_floats_overflow_to_infinity():
    values = np.array([1e30, -3.4e38, 65520.0, 65519.0], np.float32)
    np.testing.assert_array_equal(convert(values, dtype_of("float16")), [np.inf, -np.inf, np.inf, 65504])
    assert to_float32(convert(np.array([3.4e38], np.float32), dtype_of("bfloat16")))[0] == np.inf


@given(value=FLOATS32 | NEAR_TIES)
def test_bfloat16_is_the_nearest_even_upper_half_of_float32(value):
    bits = int(np.float32(value).view(np.uint32))
    upper, lower = bits >> 16, bits & 0xFFFF
    upper += lower > 0x8000 or (lower == 0x8000 and upper & 1)
    assert int(convert(np.array([value], np.float32), dtype_of("bfloat16")).view(np.uint16)[0]) == upper


@given(value=FLOATS32 | NEAR_TIES)
def test_tfloat32_keeps_ten_mantissa_bits(value):
    bits = int(np.float32(value).view(np.uint32))
    kept, lost = bits >> 13, bits & 0x1FFF
    kept += lost > 0x1000 or (lost == 0x1000 and kept & 1)
    assert int(convert(np.array([value], np.float32), dtype_of("tfloat32")).view(np.uint32)[0]) == kept << 13


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "uint8", "uint16", "uint32"])
def test_floats_become_the_nearest_integer_ties_to_even_and_saturate(name):
    limits = np.iinfo(name)
    values = np.array([0.5, 1.5, 2.5, 2.51, 1e20, -1e20, np.inf, -np.inf, np.nan, 100.49], np.float32)
    expected = [0, 2, 2, 3, limits.max, limits.min, limits.max, limits.min, 0, 100]
    np.testing.assert_array_equal(convert(values, dtype_of(name)), np.array(expected, name))
    if limits.min < 0:
        negative = convert(np.array([-0.5, -1.5, -2.5], np.float32), dtype_of(name))
        np.testing.assert_array_equal(negative, [0, -2, -2])
    else:
        assert convert(np.array([-7.0], np.float32), dtype_of(name))[0] == 0


@pytest.mark.parametrize("source", ["int8", "int32", "uint8", "uint32", "bool"])
@pytest.mark.parametrize("target", ["int8", "int16", "int32", "uint8", "uint16", "uint32"])
def test_integers_saturate_into_smaller_integers(source, target):
    limits, wide = np.iinfo(target), dtype_of(source).numpy
    low, high = (0, 1) if source == "bool" else (np.iinfo(wide).min, np.iinfo(wide).max)
    values = np.array([low, high, 0, 1], np.int64)
    as_float32 = values.astype(np.float32) if source != target else values
    expected = np.clip(as_float32.astype(np.int64), limits.min, limits.max)
    np.testing.assert_array_equal(convert(values.astype(wide), dtype_of(target)), expected)


def test_conversion_to_the_same_type_changes_nothing():
    for name, dtype in DTYPES.items():
        if name != "tfloat32":
            values = np.arange(16, dtype=np.uint8).view(dtype.numpy)
            assert convert(values, dtype) is values


def test_a_number_is_true_unless_it_is_zero():
    values = np.array([0.0, -0.0, 0.25, -3.0, np.nan], np.float32)
    np.testing.assert_array_equal(convert(values, dtype_of("bool")), [False, False, True, True, True])


def test_e8m0_holds_powers_of_two():
    powers = 2.0 ** np.arange(-126, 128)
    back = convert(powers.astype(np.float32), dtype_of("float8_e8m0fnu"))
    np.testing.assert_array_equal(back.view(np.uint8), np.arange(1, 255))
