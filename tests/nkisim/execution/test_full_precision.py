"""NKI_PRECISE_FP=0: what low-precision tensors would hold if nothing were rounded."""

import ml_dtypes
import numpy as np
import pytest
from support.device import psum, random_values, store

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl

LOW = ("bfloat16", "float16", "float8_e4m3", "float8_e4m3fn", "float8_e5m2", "tfloat32")


@pytest.fixture
def unrounded(monkeypatch):
    monkeypatch.setenv("NKI_PRECISE_FP", "0")


def halve(dtype):
    """x / 3 by way of a tile, a PSUM-free copy and an HBM tensor of `dtype`."""

    def kernel(x):
        third, copied = (nl.ndarray(x.shape, dtype) for _ in range(2))
        nisa.tensor_scalar(third, nl.load(x), nl.multiply, 1 / 3)
        nisa.tensor_copy(copied[:, ::2], third[:, ::2])
        nisa.tensor_copy(copied[:, 1::2], third[:, 1::2])
        return store(copied)

    return kernel


@pytest.mark.parametrize("dtype", LOW)
def test_values_pass_through_low_precision_tensors_unrounded(trn3, unrounded, dtype):
    x = random_values((8, 10)) * 1000  # beyond the range of fp8, too
    got = trn3.outputs(halve(dtype), x)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, x * np.float32(1 / 3))


@pytest.mark.parametrize("value", [None, "1"])
@pytest.mark.parametrize("dtype", LOW)
def test_values_are_rounded_unless_asked(trn3, monkeypatch, dtype, value):
    if value:
        monkeypatch.setenv("NKI_PRECISE_FP", value)
    x = random_values((8, 10))
    got = trn3.outputs(halve(dtype), x)
    assert got.dtype == (np.float32 if dtype == "tfloat32" else getattr(ml_dtypes, dtype, dtype))
    assert (got.astype(np.float32) != x * np.float32(1 / 3)).any()


def test_a_matmul_of_low_precision_operands_matches_float32(trn2, unrounded):
    a, b = random_values((64, 32)), random_values((64, 48), seed=1)

    def kernel(x, y):
        left, right, total = nl.ndarray((64, 32), nl.bfloat16), nl.ndarray((64, 48), nl.bfloat16), psum((32, 48))
        nisa.dma_copy(left, x)
        nisa.dma_copy(right, y)
        nisa.nc_matmul(total, left, right, accumulate=False)
        result = nl.ndarray((32, 48), nl.bfloat16)
        nisa.activation(result, nl.copy, total)
        return store(result)

    np.testing.assert_allclose(trn2.outputs(kernel, a, b), a.T @ b, rtol=1e-6, atol=1e-5)


def test_transposes_and_gathers_keep_what_was_not_rounded(trn2, unrounded):
    x, rows = random_values((32, 32)), np.array([[5], [2], [31], [0]], np.int32)

    def kernel(source, ids):
        low = nl.ndarray((32, 32), nl.bfloat16)
        nisa.dma_copy(low, source)
        turned = nl.ndarray((32, 32), nl.bfloat16, buffer=nl.psum)
        nisa.nc_transpose(turned, low, engine=nisa.engine.tensor)
        in_hbm = store(nl.copy(turned))
        chosen = nl.ndarray((4, 32), nl.bfloat16)
        nisa.dma_copy(chosen, in_hbm.ap([[32, 4], [1, 32]], vector_offset=nl.load(ids)))
        return store(chosen)

    np.testing.assert_array_equal(trn2.outputs(kernel, x, rows), x.T[rows[:, 0]])


def test_bits_written_another_way_replace_the_value(trn2, unrounded):
    """A sign bit set through an integer view is seen by whoever reads the float."""

    def kernel(x):
        low = nl.ndarray(x.shape, nl.bfloat16)
        nisa.dma_copy(low, x)
        bits = low.view(nl.uint16)
        nisa.tensor_scalar(bits, bits, nl.bitwise_or, 0x8000)
        return store(low)

    x = np.abs(random_values((4, 6))) + np.float32(0.1)
    np.testing.assert_array_equal(trn2.outputs(kernel, x), -x.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_arguments_of_the_host_are_what_they_are(trn2, unrounded):
    given = random_values((4, 6), ml_dtypes.bfloat16)
    wanted = np.zeros((4, 6), ml_dtypes.bfloat16)

    def kernel(x, y):
        third = nl.ndarray(x.shape, nl.float32)
        nisa.tensor_scalar(third, nl.load(x), nl.multiply, 1 / 3)
        nisa.dma_copy(y, third)
        return x, y

    x, y = trn2.outputs(kernel, given, wanted)
    np.testing.assert_array_equal(x, given.astype(np.float32))
    np.testing.assert_array_equal(y, given.astype(np.float32) * np.float32(1 / 3))
    np.testing.assert_array_equal(wanted, y.astype(ml_dtypes.bfloat16))  # in place: rounded, as its type is
