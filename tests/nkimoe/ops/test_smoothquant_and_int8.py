"""One smooth row for all tokens, and SGLang's quantisers of tokens and of weights."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.row_cases import DTYPES, assert_equal_codes, layer

from nkimoe.ops import moe_smoothquant, quantize_per_channel_int8, quantize_per_token_int8, smoothquant
from nkimoe.reference.row_quantisation import quantize_int8_reference, smoothquant_reference

SHAPES = [
    (99, 13),
    (17, 16),
    (1, 100),
    (80, 127),
    (171, 676),
    (300, 1025),
    (9, 4096),
    (3, 7168),
    (1, 16384),
    (2, 50001),
]


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_smoothquant_gives_the_codes_of_the_definition(shape, cores):
    x, smooth, _ = layer(*shape, E=1, k=1)
    assert_equal_codes(smoothquant[cores](x, smooth[0]), smoothquant_reference(x, smooth[0]))


@pytest.mark.parametrize("options", [{"rounding": "trunc"}, {"rounding": "away"}, {"zero_row": "plus"}], ids=str)
def test_smoothquant_has_the_options_of_moe_smoothquant(options):
    x, smooth, _ = layer(140, 200, E=1, k=1)
    assert_equal_codes(smoothquant(x, smooth[0], **options), smoothquant_reference(x, smooth[0], **options))


def test_smoothquant_is_moe_smoothquant_with_one_expert():
    x, smooth, ids = layer(140, 200, E=1, k=1)
    for one, other in zip(smoothquant(x, smooth[0]), moe_smoothquant(x, smooth, ids), strict=True):
        np.testing.assert_array_equal(one, other)


def assert_same_bits(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tokens_are_quantised_bit_for_bit(shape, dtype, cores):
    x = np.random.default_rng(1234).standard_normal(shape).astype(DTYPES[dtype])
    assert_same_bits(quantize_per_token_int8[cores](x), quantize_int8_reference(x))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 127), st.integers(-20, 20), st.integers(0, 2**31))
def test_halves_of_the_maximum_fall_where_the_factor_says(largest, exponent, seed):
    steps = np.random.default_rng(seed).integers(-largest, largest + 1, (60, 50))
    steps[:, 0], steps[:, 1] = largest, largest // 2
    x = (steps * 2.0**exponent).astype(ml_dtypes.bfloat16)
    assert_same_bits(quantize_per_token_int8(x), quantize_int8_reference(x))


def test_a_token_of_zeros_has_codes_of_zero():
    x = np.zeros((3, 5), ml_dtypes.bfloat16)
    q, scale = quantize_per_token_int8(x)
    assert not q.any()
    np.testing.assert_array_equal(scale, np.full(3, np.float32(1e-7) / np.float32(127)))


def test_three_tokens_by_hand():
    x = np.array([[127, -64, 0.5, 1.5], [2, 1, -2, 0], [-254, 1, 3, 5]], np.float32)
    q, scale = quantize_per_token_int8(x)
    np.testing.assert_array_equal(q, [[127, -64, 0, 2], [127, 64, -127, 0], [-127, 0, 2, 2]])
    np.testing.assert_array_equal(scale, np.array([127, 2, 254], np.float32) / np.float32(127))


def test_rows_with_a_pitch_are_read_without_what_lies_between():
    x = np.random.default_rng(5).standard_normal((40, 30)).astype(np.float16)
    wide = np.full((40, 64), np.nan, np.float16)
    wide[:, :30] = x
    assert_same_bits(quantize_per_token_int8(wide[:, :30]), quantize_int8_reference(x))
    assert np.isnan(wide[:, 30:]).all()


def test_smoothquant_writes_its_rows_as_far_apart_as_asked_for():
    x, smooth, _ = layer(140, 30, E=1, k=1)
    q, scale = smoothquant[2](x, smooth[0], out_stride=np.int64(64))
    assert q.strides == (64, 1)
    assert_same_bits((q, scale), smoothquant(x, smooth[0]))


def test_without_tokens_there_are_no_codes():
    for q, scale in (
        quantize_per_token_int8(np.zeros((0, 7), np.float16)),
        smoothquant(np.zeros((0, 7), np.float16), np.ones(7, np.float32)),
    ):
        assert (q.shape, q.dtype, scale.shape) == ((0, 7), np.int8, (0,))


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(32, 64), (8, 96, 128), (3, 130, 257), (1, 1, 1)], ids=str)
def test_weights_have_a_scale_for_each_output_channel(shape, dtype, cores):
    w = np.random.default_rng(128).standard_normal(shape).astype(DTYPES[dtype])
    q, scale = quantize_per_channel_int8[cores](w)
    assert (q.shape, scale.shape) == (shape, shape[:-1])
    assert_equal_codes((q, scale), quantize_int8_reference(w))


def test_quantised_weights_lie_within_half_a_step():
    w = np.random.default_rng(0).standard_normal((50, 200)).astype(np.float32)
    q, scale = quantize_per_channel_int8(w)
    assert (np.abs(q * scale[:, None] - w) <= scale[:, None] * np.float32(0.5 + 1e-4)).all()


def test_torch_tensors_give_torch_tensors():
    torch = pytest.importorskip("torch")
    x = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    q, scale = quantize_per_token_int8(x)
    assert (q.dtype, scale.dtype) == (torch.int8, torch.float32)
    expected = quantize_int8_reference(x.float().numpy())
    np.testing.assert_array_equal(q.numpy(), expected[0])
    np.testing.assert_array_equal(scale.numpy(), expected[1])
    apart, _ = smoothquant(x, torch.ones(30), out_stride=48)
    assert (apart.shape, apart.stride()) == ((20, 30), (48, 1))
    empty, none = moe_smoothquant(x[:0], torch.ones(3, 30), torch.zeros(0, 2, dtype=torch.int32))
    assert (empty.shape, empty.dtype, none.shape) == ((0, 30), torch.int8, (0,))


def test_torch_is_not_imported_with_the_operations():
    code = "import sys, nkimoe.ops; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
