"""Scale rules of MX blocks against published vectors and exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nkimoe import InputError, RequestError
from nkimoe.weights import MX_FORMATS, MXFP4, MXFP8, MXFP8_E5M2, SCALE_RULES
from nkimoe.weights.mx_scale import dequantize_blocks, quantize_blocks, scale_exponents

FORMATS = pytest.mark.parametrize("mx", MX_FORMATS.values(), ids=lambda mx: mx.name)
MAGNITUDES = st.floats(min_value=2.0**-149, max_value=2.0**127, width=32)


def code(amax, mx, rule):
    return int(scale_exponents(np.array([amax], np.float32), mx, rule)[0]) + 127


@pytest.mark.parametrize(
    ("mx", "amax", "codes"),
    [
        (MXFP4, 7.0, {"floor": 127, "ceil": 128, "rceil": 128, "even": 128, "isa": 128}),
        (MXFP4, 6.0, {"floor": 127, "ceil": 128, "rceil": 127, "even": 127}),
        (MXFP8, 449, {"floor": 127, "ceil": 128, "rceil": 128, "even": 127, "isa": 128}),
        (MXFP8, 448, {"floor": 127, "ceil": 128, "rceil": 127, "even": 127, "isa": 128}),
        (MXFP8, 256, {"floor": 127, "ceil": 127, "rceil": 127, "even": 127, "isa": 128}),
        (MXFP8, 240, {"floor": 126, "ceil": 127, "rceil": 127, "even": 126, "isa": 127}),
        (MXFP8, 248, {"floor": 126, "even": 127}),
        (MXFP8_E5M2, 57344, {"floor": 127, "rceil": 127, "isa": 128, "even": 127}),
        (MXFP8, 0.0, dict.fromkeys(SCALE_RULES, 0)),
        (MXFP8, 2.0**-130, dict.fromkeys(SCALE_RULES, 0)),
        (MXFP4, 2.0**-130, dict.fromkeys(SCALE_RULES, 0)),
    ],
    ids=str,
)
def test_codes_of_known_magnitudes(mx, amax, codes):
    assert {rule: code(amax, mx, rule) for rule in codes} == codes


def power(exponent):
    return Fraction(2) ** exponent


@FORMATS
@given(amax=MAGNITUDES)
def test_each_rule_does_what_its_formula_says(mx, amax):
    exact = Fraction(amax)
    exponents = {rule: code(amax, mx, rule) - 127 for rule in SCALE_RULES}

    def holds(rule, condition):
        """The exponent fits, unless it is the smallest there is."""
        return exponents[rule] == -127 or condition(power(exponents[rule]))

    quotient = Fraction(float(np.float32(amax) / np.float32(mx.largest)))
    assert holds("floor", lambda x: power(mx.emax) <= exact / x < power(mx.emax + 1))
    assert holds("isa", lambda x: power(mx.emax - 1) <= exact / x < power(mx.emax))
    assert holds("ceil", lambda x: power(mx.emax - 1) < exact / x <= power(mx.emax))
    assert holds("rceil", lambda x: x / 2 < quotient <= x)
    step = power(-mx.mantissa)
    assert holds("even", lambda x: 1 - step / 4 <= exact / x / power(mx.emax) < 2 - step / 2)


@FORMATS
@pytest.mark.parametrize("rule", SCALE_RULES)
def test_quantised_blocks_are_the_nearest_the_scale_allows(mx, rule):
    rng = np.random.default_rng(1)
    values = (rng.standard_normal((3, 8, 5, 4)) * np.exp(3 * rng.standard_normal((3, 1, 5, 1)))).astype(np.float32)
    values[1, :, 2] = 0
    elements, codes = quantize_blocks(values, mx, rule, "w")
    amax = np.abs(values.astype(np.float64)).max(axis=(1, 3))
    np.testing.assert_array_equal(codes[1, 2], 0)
    for r in range(3):
        for c in range(5):
            scale = 2.0 ** (int(codes[r, c]) - 127)
            assert codes[r, c] == code(amax[r, c], mx, rule)
            scaled = np.clip(values[r, :, c].astype(np.float64) / scale, -mx.largest, mx.largest)
            np.testing.assert_array_equal(elements[r, :, c].astype(np.float64), scaled.astype(mx.element))
    real = dequantize_blocks(elements, codes)
    assert np.linalg.norm(real - values) / np.linalg.norm(values) < 2.0 ** -(mx.mantissa + 1)


@FORMATS
def test_values_of_the_format_survive(mx):
    rng = np.random.default_rng(2)
    elements = rng.integers(0, 256 if mx is not MXFP4 else 16, (4, 8, 6, 4)).astype(np.uint8).view(mx.element)
    finite = np.where(np.isfinite(elements.astype(np.float32)), elements, np.zeros((), mx.element))
    finite[:, 0, :, 0] = mx.largest
    codes = rng.integers(30, 220, (4, 6)).astype(np.uint8)
    for rule in ("floor", "rceil"):
        again, scale = quantize_blocks(dequantize_blocks(finite, codes), mx, rule, "w")
        np.testing.assert_array_equal(scale, codes)
        np.testing.assert_array_equal(again.view(np.uint8), finite.view(np.uint8))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_without_a_scale_is_refused_by_name(bad):
    values = np.ones((2, 8, 3, 4), np.float32)
    values[1, 2, 0, 3] = bad
    with pytest.raises(InputError, match="down_proj_weight: is finite; got NaN or infinity in 1 blocks of 32"):
        quantize_blocks(values, MXFP8, "floor", "down_proj_weight")


def test_a_scale_of_255_is_not_a_number():
    real = dequantize_blocks(np.ones((2, 8, 1, 4), np.float32), np.array([[255], [127]], np.uint8))
    assert np.isnan(real[0]).all()
    np.testing.assert_array_equal(real[1], 1)


def test_an_unknown_rule_is_refused():
    with pytest.raises(RequestError, match="rule: is one of floor, isa, ceil, rceil, even; got 'round'"):
        scale_exponents(np.ones(1, np.float32), MXFP8, "round")
