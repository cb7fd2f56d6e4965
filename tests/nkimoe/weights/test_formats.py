"""Element formats and x4 packing, against decoders written from the bit layouts."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nkimoe import RequestError
from nkimoe.weights import MX_FORMATS, MXFP4, MXFP8, MXFP8_E5M2, as_carrier
from nkisim.dtypes import DTYPES, dtype_of

FORMATS = pytest.mark.parametrize("mx", MX_FORMATS.values(), ids=lambda mx: mx.name)


def decode(code: int, exponent_bits: int, mantissa_bits: int) -> float:
    """Value of a code, sign first, bias 2**(exponent_bits - 1) - 1."""
    bias = 2 ** (exponent_bits - 1) - 1
    mantissa = code & (2**mantissa_bits - 1)
    exponent = code >> mantissa_bits & (2**exponent_bits - 1)
    sign = -1.0 if code >> (exponent_bits + mantissa_bits) else 1.0
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
    return sign * (1 + mantissa / 2**mantissa_bits) * 2.0 ** (exponent - bias)


BITS = {"mxfp4": (4, 2, 1), "mxfp8": (8, 4, 3), "mxfp8-e5m2": (8, 5, 2)}


@FORMATS
def test_four_values_are_packed_low_bits_first(mx):
    width = BITS[mx.name][0]
    codes = np.random.default_rng(0).integers(0, 2**width, (5, 3, 4)).astype(np.uint8)
    elements = codes.view(mx.element)
    packed = mx.pack(elements)
    assert packed.shape == (5, 3)
    words = as_carrier(packed).astype(np.uint64)
    for q in range(4):
        np.testing.assert_array_equal(words >> np.uint64(q * width) & np.uint64(2**width - 1), codes[..., q])
    np.testing.assert_array_equal(mx.unpack(packed).view(np.uint8), codes)
    np.testing.assert_array_equal(mx.unpack(as_carrier(packed)).view(np.uint8), codes)


@FORMATS
def test_elements_mean_what_their_bits_say(mx):
    width, exponent, mantissa = BITS[mx.name]
    codes = np.arange(2**width, dtype=np.uint8)
    values = codes.view(mx.element).astype(np.float32)
    finite = np.isfinite(values)
    np.testing.assert_array_equal(values[finite], [decode(int(c), exponent, mantissa) for c in codes[finite]])
    assert values[finite].max() == mx.largest
    assert 2.0**mx.emax <= mx.largest < 2.0 ** (mx.emax + 1)
    assert mx.mantissa == mantissa


@FORMATS
@given(value=st.floats(width=32, allow_nan=False))
def test_rounding_is_to_the_nearest_value_ties_to_even_saturated(mx, value):
    width, exponent, mantissa = BITS[mx.name]
    codes = range(2 ** (width - 1))
    known = {c: decode(c, exponent, mantissa) for c in codes if decode(c, exponent, mantissa) <= mx.largest}
    nearest = min(known, key=lambda c: (abs(known[c] - min(abs(value), mx.largest)), c & 1))
    got = float(mx.round(np.array([value], np.float32))[0])
    assert got == (known[nearest] if value >= 0 else -known[nearest])


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.25, 0), (0.75, 1), (1.25, 1), (1.75, 2), (2.5, 2), (3.5, 4), (5, 4), (7, 6), (-9, -6)]
)
def test_fp4_ties_go_to_the_even_code(value, rounded):
    assert float(MXFP4.round(np.array([value], np.float32))[0]) == rounded


@FORMATS
def test_the_packed_type_is_the_one_the_simulator_takes(mx):
    assert dtype_of(mx.packed) == mx.nki
    assert DTYPES[mx.nki].itemsize == mx.carrier.itemsize


def test_a_carrier_keeps_the_memory():
    packed = MXFP8.pack(np.zeros((2, 4), ml_dtypes.float8_e4m3fn))
    assert np.shares_memory(as_carrier(packed), packed)


def test_other_types_are_refused_by_name():
    packed = MXFP8.pack(np.zeros((2, 4), ml_dtypes.float8_e4m3fn))
    with pytest.raises(RequestError, match="for mxfp8-e5m2; got"):
        MXFP8_E5M2.unpack(packed)
    with pytest.raises(RequestError, match=r"packed MX elements; got uint8"):
        as_carrier(np.zeros(4, np.uint8))
