"""Every bit pattern of the 8- and 16-bit formats, to every narrower type, against the definition of the formats.

The oracle decodes patterns by the definition of sign, exponent and fraction, and rounds by looking the value up among
the target's values: nothing of nkisim, and no ml_dtypes arithmetic.
"""

import math

import ml_dtypes
import numpy as np
import pytest

from nkisim.dtypes import convert, dtype_of, to_float32

# name: exponent bits, fraction bits, whether the top exponent holds infinity and NaN, largest finite value
FORMATS = {
    "float8_e4m3": (4, 3, True, 240.0),
    "float8_e4m3fn": (4, 3, False, 448.0),
    "float8_e5m2": (5, 2, True, 57344.0),
    "float16": (5, 10, True, 65504.0),
    "bfloat16": (8, 7, True, float.fromhex("0x1.fep127")),
}
SATURATING = ("float8_e4m3", "float8_e4m3fn", "float8_e5m2")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32")


def decoded(name):
    """The value of every bit pattern of a format, as float64."""
    exponent_bits, fraction_bits, ieee, _ = FORMATS[name]
    bias, patterns = 2 ** (exponent_bits - 1) - 1, range(2 ** (1 + exponent_bits + fraction_bits))
    values = []
    for pattern in patterns:
        sign = -1.0 if pattern >> (exponent_bits + fraction_bits) else 1.0
        exponent = pattern >> fraction_bits & 2**exponent_bits - 1
        fraction = pattern & 2**fraction_bits - 1
        top = exponent == 2**exponent_bits - 1
        if top and ieee:
            value = math.nan if fraction else math.inf
        elif top and fraction == 2**fraction_bits - 1:
            value = math.nan
        elif exponent == 0:
            value = math.ldexp(fraction, 1 - bias - fraction_bits)
        else:
            value = math.ldexp(2**fraction_bits + fraction, exponent - bias - fraction_bits)
        values.append(math.copysign(value, sign))
    return np.array(values)


def encoded(values, name):
    """The bit patterns of `values` (float64) in a format: nearest, ties to the even pattern; NaN comes out as -1."""
    exponent_bits, fraction_bits, _, largest = FORMATS[name]
    table = decoded(name)[: 2 ** (exponent_bits + fraction_bits)]
    count = int(np.flatnonzero(table == largest)[0]) + 1
    finite, magnitude = table[:count], np.abs(values)
    middles = (finite[:-1] + finite[1:]) / 2
    if name not in SATURATING:  # half a step above the largest value begins infinity, whose pattern is the next one
        middles = np.append(middles, largest + (finite[-1] - finite[-2]) / 2)
    below, above = np.searchsorted(middles, magnitude, "left"), np.searchsorted(middles, magnitude, "right")
    patterns = np.where(below % 2 == 0, below, above) | np.signbit(values).astype(int) << exponent_bits + fraction_bits
    return np.where(np.isnan(values), -1, patterns)


def patterns_of(name):
    """Every value of a type, in the order of its bits."""
    numpy = dtype_of(name).numpy
    return np.arange(256**numpy.itemsize, dtype=f"u{numpy.itemsize}").view(numpy)


@pytest.mark.parametrize("name", FORMATS)
def test_every_pattern_decodes_to_the_value_of_its_bits(name):
    np.testing.assert_array_equal(to_float32(patterns_of(name)), decoded(name))


def test_every_e8m0_pattern_is_a_power_of_two_and_the_last_is_nan():
    values = to_float32(patterns_of("float8_e8m0fnu")).astype(np.float64)
    np.testing.assert_array_equal(values[:255], [math.ldexp(1, code - 127) for code in range(255)])
    assert math.isnan(values[255])


@pytest.mark.parametrize("name", [*FORMATS, "float8_e8m0fnu"])
def test_every_pattern_survives_a_round_trip_through_float32(name):
    """Infinities of a type that saturates come back as its largest value; NaN stays NaN."""
    values = patterns_of(name)
    bits = f"u{values.itemsize}"
    back = convert(to_float32(values), dtype_of(name))
    numbers = np.isfinite(to_float32(values)) if name in SATURATING else ~np.isnan(to_float32(values))
    np.testing.assert_array_equal(back.view(bits)[numbers], values.view(bits)[numbers])
    infinite = np.isinf(to_float32(values)) & ~numbers
    np.testing.assert_array_equal(np.abs(to_float32(back[infinite])), FORMATS[name][3] if infinite.any() else [])
    np.testing.assert_array_equal(np.isnan(to_float32(back)), np.isnan(to_float32(values)))


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_every_pattern_rounds_to_the_nearest_of_every_other_float(source, target):
    values, expected = patterns_of(source), encoded(decoded(source), target)
    got = convert(values, dtype_of(target))
    if source == target:
        expected = np.where(np.isnan(decoded(source)), -1, np.arange(values.size))
    is_nan = expected == -1
    np.testing.assert_array_equal(np.isnan(to_float32(got)), is_nan)
    np.testing.assert_array_equal(got.view(f"u{got.itemsize}")[~is_nan], expected[~is_nan])


@pytest.mark.parametrize("source", ["bfloat16", "float16"])
@pytest.mark.parametrize("target", SATURATING)
def test_a_saturating_type_is_ml_dtypes_after_clipping(source, target):
    """The second oracle: the package whose types hold the values, for the range where it has a finite answer."""
    top, values = FORMATS[target][3], to_float32(patterns_of(source))
    with np.errstate(invalid="ignore"):  # signaling NaN
        expected = np.clip(values, -top, top).astype(getattr(ml_dtypes, target))
    got = convert(patterns_of(source), dtype_of(target))
    np.testing.assert_array_equal(got.view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", INTEGERS)
def test_every_pattern_rounds_to_the_nearest_integer_and_saturates(source, target):
    limits, values = np.iinfo(target), decoded(source)
    expected = [0 if math.isnan(v) else min(max(v, limits.min), limits.max) for v in values]
    rounded = np.array([round(v) for v in expected], np.int64)  # Python's round goes to even
    np.testing.assert_array_equal(convert(patterns_of(source), dtype_of(target)).astype(np.int64), rounded)


@pytest.mark.parametrize("source", FORMATS)
def test_every_pattern_fits_in_tfloat32_unchanged(source):
    np.testing.assert_array_equal(convert(patterns_of(source), dtype_of("tfloat32")), decoded(source))


@pytest.mark.parametrize("source", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("target", FORMATS)
def test_every_small_integer_rounds_to_the_nearest_of_every_float(source, target):
    values = patterns_of(source)
    got = convert(values, dtype_of(target))
    np.testing.assert_array_equal(got.view(f"u{got.itemsize}"), encoded(values.astype(np.float64), target))


PINNED = {
    "float8_e4m3": {239: 240, 240: 240, 244: 240, 248: 240, 256: 240, 231.9: 224, 232: 224, 232.1: 240, 2**-10: 0,
                    2**-10 * 1.01: 2**-9, 1.5 * 2**-9: 2**-8},
    "float8_e4m3fn": {447: 448, 448: 448, 464: 448, 465: 448, math.inf: 448, 432: 448, 431.9: 416, 1.0625: 1.0,
                      1.1875: 1.25},
    "float8_e5m2": {57344: 57344, 61440: 57344, math.inf: 57344, 1.125: 1.0, 1.375: 1.5, 2**-17: 0,
                    1.1 * 2**-17: 2**-16},
    "float16": {65504: 65504, 65519.99: 65504, 65520: math.inf, 2049: 2048, 2051: 2052, 2**-25: 0,
                1.5 * 2**-24: 2**-23},
    "bfloat16": {257: 256, 259: 260, 3.4e38: math.inf, 2**-134: 0, 1.5 * 2**-133: 2**-132, 1e-45: 0},
    "int8": {127.5: 127, 126.5: 126, 125.5: 126, 0.5: 0, 1.5: 2, 2.5: 2, math.inf: 127, 1e-40: 0},
}  # fmt: skip


@pytest.mark.parametrize("name", PINNED)
def test_pinned_ties_ends_and_subnormals_of_float32(name):
    values = np.array(list(PINNED[name]), np.float32)
    for sign in (1, -1):
        expected = [max(sign * v, -128) if name == "int8" else sign * v for v in PINNED[name].values()]
        if name == "int8" and sign < 0:
            expected = [-128 if v in (127.5, math.inf) else w for v, w in zip(PINNED[name], expected, strict=True)]
        np.testing.assert_array_equal(to_float32(convert(sign * values, dtype_of(name))), expected)


def test_integers_of_different_32_bit_types_pass_through_float32():
    """As `dma_copy` and `tensor_copy` are documented: exact up to 2**24, rounded to 24 bits above."""
    values = np.array([2**24, 2**24 + 1, 2**24 + 3, 2**31 - 1, -1], np.int32)
    np.testing.assert_array_equal(
        convert(values, dtype_of("uint32")), np.array([2**24, 2**24, 2**24 + 4, 2**31, 0], np.uint32)
    )
    np.testing.assert_array_equal(convert(values, dtype_of("int32")), values)
    wide = np.array([2**24 + 1, 2**31, 2**32 - 1], np.uint32)
    np.testing.assert_array_equal(convert(wide, dtype_of("int32")), [2**24, 2**31 - 1, 2**31 - 1])
