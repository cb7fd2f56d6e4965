"""Rows, smooth scales and ids of tests, and how close codes and scales must be."""

import ml_dtypes
import numpy as np

from nkimoe.cli.op.inputs import SEED, distinct_ids, smooth_scales, uniform_rows
from nkimoe.reference.row_tolerance import MOST_CODES_APART, MOST_UNEQUAL_CODES, code_distance

DTYPES = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float32": np.float32}


def layer(T, H, E=32, k=5, dtype="bfloat16", seed=SEED):
    """x in -0.5..0.5, smooth scales in 0.001..0.5, distinct ids of each row in any order."""
    rng = np.random.default_rng(seed)
    return uniform_rows(rng, (T, H), DTYPES[dtype]), smooth_scales(rng, (E, H)), distinct_ids(rng, T, E, k)


def assert_equal_codes(found, expected):
    """Scales bit for bit; codes but for a few that differ by one, at least one of which is always allowed."""
    (q, scale), (expected_q, expected_scale) = found, expected
    assert (q.dtype, scale.dtype, q.shape) == (expected_q.dtype, np.float32, expected_q.shape)
    np.testing.assert_array_equal(scale, expected_scale)
    apart = code_distance(q, expected_q)
    assert apart.max(initial=0) <= MOST_CODES_APART
    assert np.count_nonzero(apart) <= max(1, MOST_UNEQUAL_CODES * q.size)
