"""bn_stats and bn_aggr: mean and variance of each partition."""

import ml_dtypes
import numpy as np
import pytest
from support.device import random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ShapeError


@pytest.mark.parametrize("size", [1, 2, 7, 512])
def test_counts_even_and_odd_elements_apart(trn2, size):
    data = random_values((5, size))
    got = trn2.compute(lambda dst, x: nisa.bn_stats(dst, x), (5, 6), "float32", data)
    for part, start in ((data[:, 0::2], 0), (data[:, 1::2], 3)):
        count = part.shape[1]
        values = [np.full(5, count), part.mean(axis=1), part.var(axis=1) * count] if count else [np.zeros(5)] * 3
        np.testing.assert_allclose(got[:, start : start + 3], np.stack(values, axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int8])
def test_aggregates_parts_of_different_sizes(trn2, dtype):
    data = (random_values((6, 1, 45)) * 5).astype(dtype)

    def kernel(x):
        a, stats, result = nl.load(x), nl.ndarray((6, 18), nl.float32), nl.ndarray((6, 2), nl.float32)
        for i, (start, end) in enumerate(((0, 20), (20, 27), (27, 45))):
            nisa.bn_stats(stats[:, nl.ds(6 * i, 6)], a[:, 0, start:end])
        nisa.bn_aggr(result, stats)
        return store(result)

    flat = data.astype(np.float32).reshape(6, -1)
    expected = np.stack([flat.mean(axis=1), flat.var(axis=1)], axis=1)
    np.testing.assert_allclose(trn2.outputs(kernel, data), expected, rtol=1e-4, atol=1e-5)


def test_refuses_other_sizes(trn2, refuses):
    trn2.attempt(lambda: nisa.bn_stats(tile((4, 6)), tile((4, 512))))
    with refuses(ShapeError, "NKI102", "(4, 513)"):
        trn2.attempt(lambda: nisa.bn_stats(tile((4, 6)), tile((4, 513))))
    with refuses(ShapeError, "NKI102", "(4, 5)"):
        trn2.attempt(lambda: nisa.bn_stats(tile((4, 5)), tile((4, 9))))
    with refuses(ShapeError, "NKI102", "(4, 8)"):
        trn2.attempt(lambda: nisa.bn_aggr(tile((4, 2)), tile((4, 8))))
    with refuses(ShapeError, "NKI102", "(4, 3)"):
        trn2.attempt(lambda: nisa.bn_aggr(tile((4, 3)), tile((4, 6))))
