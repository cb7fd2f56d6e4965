"""Codes and sums of `fused_experts` and `fused_moe_smoothquant`, bit by bit.

Weights are chosen so that outputs are codes, or sums: an expert's gate is 64 everywhere, whose silu is 64 to the bit;
identity matrices carry a row through a projection; scales are powers of two. What comes out is then an integer up to
127, which bf16 holds.
"""

import ml_dtypes
import numpy as np
import pytest
from support.row_cases import DTYPES

from nkimoe.ops import fused_experts, fused_moe_smoothquant
from nkimoe.weights.int8 import exact_rows

GATE = 64.0


def through_one_expert(x, up, down, up_scale=1.0, **options):
    """out [T, K] of (x @ up.T * up_scale) @ down.T, codes times codes; x[:, 0] is 64 and w1 picks it for the gate."""
    N, K = up.shape
    gate = np.zeros((N, K), np.int8)
    gate[:, 0] = 1
    w1_scale = np.concatenate([np.ones(N), np.broadcast_to(up_scale, N) / GATE]).astype(np.float32)
    ones = np.ones((len(x), 1), np.float32)
    return fused_experts[2](
        x, np.concatenate([gate, up])[None], down[None], ones, np.zeros(ones.shape, np.int32),
        w1_scale=w1_scale[None], w2_scale=np.ones((1, K), np.float32), **options,
    ).astype(np.float32)  # fmt: skip


def picking(rows, columns):
    """A matrix of ones on the diagonal."""
    return np.eye(rows, columns, dtype=np.int8)


def cancelling(rng, rows, length, smallest):
    """int8 [rows, length], whose sums of columns from the second on grow far beyond 2**24 / 127 before they come back
    to 0; and the second column.
    """
    left, third = rng.integers(-120, 121, rows), (length - 2) // 3
    row = [0, 0, *[smallest] * third, *[127] * third, *[-smallest - 127] * third]
    matrix = np.zeros((rows, length), np.int8)
    matrix[:, : len(row)], matrix[:, 1] = row, left
    return matrix, left


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_tokens_become_the_codes_of_their_quotients_and_ties_go_to_even(dtype):
    rng, T, K = np.random.default_rng(0), 40, 200
    step = {"bfloat16": 2, "float16": 16}[dtype]  # steps of 1 / step below 128 are exact
    x = (rng.integers(-126 * step, 126 * step + 1, (T, K)) / step).astype(DTYPES[dtype])
    x[:, 0], x[:, 1] = GATE, 127
    assert (x.astype(np.float32) % 1 == 0.5).any()
    found = through_one_expert(x, picking(K, K), picking(K, K))
    np.testing.assert_array_equal(found, np.rint(x.astype(np.float32)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_what_is_activated_becomes_codes_likewise(dtype):
    rng, T, K = np.random.default_rng(1), 40, 200
    x = rng.integers(-127, 128, (T, K)).astype(DTYPES[dtype])
    x[:, 0], x[:, 1] = GATE, 127
    halves = np.where(np.arange(K) < 2, 1.0, 0.5)  # act(g) * u is an odd number of halves in half of the columns
    found = through_one_expert(x, picking(K, K), picking(K, K), halves)
    np.testing.assert_array_equal(found, np.rint(x.astype(np.float32) * halves))


def test_every_code_comes_back():
    codes = np.arange(-127, 128, dtype=np.float32)
    x = np.concatenate([[GATE, 127], codes])[None].astype(ml_dtypes.bfloat16)
    found = through_one_expert(x, picking(x.shape[1], x.shape[1]), picking(x.shape[1], x.shape[1]))
    np.testing.assert_array_equal(found[0, 2:], codes)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("smallest", [-127, -128])
@pytest.mark.parametrize("K", [1100, 2100, 3300, 7168])
def test_sums_of_the_first_projection_lose_nothing(K, smallest, sign):
    """Codes are all 127 or -127, the weight of the second all 127 or down to -128; sums in fp32 would lose the rest."""
    rng, N = np.random.default_rng(K), 128
    up, left = cancelling(rng, N, K, smallest)
    up[0, 1:], left[0] = 0, 127  # the largest of the row
    up[0, 1] = 127
    x = np.full((3, K), sign * 127, ml_dtypes.bfloat16)
    x[:, 0], x[:, 1] = GATE, 1
    found = through_one_expert(x, up, picking(K, N))
    np.testing.assert_array_equal(found[:, :N], np.broadcast_to(left, (3, N)))
    assert not found[:, N:].any()


@pytest.mark.parametrize("block_size", [128, 256])
@pytest.mark.parametrize("N", [1100, 4500, pytest.param(16384, marks=pytest.mark.slow)])
def test_sums_of_the_second_projection_lose_nothing(N, block_size):
    rng, K = np.random.default_rng(N), 128
    down, left = cancelling(rng, K, N, -128)
    down[:, 0] = 0
    up = np.zeros((N, K), np.int8)
    up[:, 2], up[1, 2], up[1, 1] = 1, 0, 1
    x = np.zeros((3, K), ml_dtypes.bfloat16)
    x[:, 0], x[:, 1], x[:, 2] = GATE, 1, 127
    found = through_one_expert(x, up, down, block_size=block_size)
    np.testing.assert_array_equal(found, np.broadcast_to(left, (3, K)))


def test_weights_that_allow_longer_sums_are_added_as_exactly():
    """Small weights: 2048 rows are one sum. The last columns, whose codes are 1, bring it to a number that is seen."""
    rng, N, K, last = np.random.default_rng(4), 64, 2048, 500
    up = rng.integers(-20, 21, (N, K))
    codes = rng.choice([-127, 127], K)
    codes[0], codes[-last:] = GATE, 1
    up[:, 0], up[:, -last:] = 0, 0
    target = rng.integers(-100, 101, N)
    up[0], target[0], codes[1], up[0, 1] = 0, 127, 127, 1
    missing = target - up @ codes
    for column in range(K - last, K):
        up[:, column] = np.clip(missing, -127, 127)
        missing = missing - up[:, column]
    is_seen = missing == 0
    assert np.count_nonzero(is_seen) > N / 2
    up[~is_seen], target[~is_seen] = 0, 0
    up = up.astype(np.int8)
    assert exact_rows(np.stack([up.T, up.T], axis=1)[None], np.zeros((1, N, K), np.int8)) >= 2048
    found = through_one_expert(np.tile(codes, (3, 1)).astype(ml_dtypes.bfloat16), up, picking(K, N))
    np.testing.assert_array_equal(found[:, :N], np.broadcast_to(target, (3, N)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_smoothed_rows_become_the_codes_of_their_quotients(dtype):
    rng, T, K = np.random.default_rng(2), 40, 160
    powers = (2.0 ** rng.integers(-3, 4, K)).astype(np.float32)
    powers[:2] = 1
    values = rng.integers(-252, 253, (T, K)) / 2
    values[:, 0], values[:, 1] = GATE, 127
    halves = np.where(np.arange(K) < 2, 1, 0.5).astype(np.float32)
    gate = np.zeros((K, K), np.int8)
    gate[:, 0] = 1
    ones = np.ones((1, K), np.float32)
    found = fused_moe_smoothquant[2](
        (values / powers).astype(DTYPES[dtype]), np.concatenate([gate, picking(K, K)])[None], picking(K, K)[None],
        np.ones((T, 1), np.float32), np.zeros((T, 1), np.int32),
        w1_scale=np.concatenate([ones, ones / np.float32(GATE)], axis=1), w2_scale=ones,
        smooth_scale1=powers[None], smooth_scale2=halves[None],
    ).astype(np.float32)  # fmt: skip
    np.testing.assert_array_equal(found, np.rint(np.rint(values) * halves))
