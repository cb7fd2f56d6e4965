"""Tutorial 5 with indices in and out of bounds."""

import ml_dtypes
import numpy as np
import pytest

from nkisim import Simulator

from .kernels.gather_scatter import gather_rows, scatter_rows

TARGETS = pytest.mark.parametrize("target", ["trn2", "trn3"])
IDS = pytest.mark.parametrize(
    "ids",
    [
        pytest.param([0], id="one-row"),
        pytest.param(np.random.default_rng(0).permutation(150)[:131], id="more-rows-than-partitions"),
        pytest.param([3, -1, 149, 150, 7, -1], id="some-ids-out-of-bounds"),
        pytest.param([150, -1], id="all-ids-out-of-bounds"),
    ],
)


@TARGETS
@IDS
def test_a_gather_skips_ids_out_of_bounds(target: str, ids: list[int]) -> None:
    table = np.random.default_rng(1).standard_normal((150, 13)).astype(ml_dtypes.bfloat16)
    index = np.array(ids, np.int32)[:, None]
    expected = np.where((index >= 0) & (index < 150), table[index[:, 0].clip(0, 149)], 0)
    np.testing.assert_array_equal(Simulator(target).run(gather_rows, table, index).outputs, expected)


@TARGETS
@IDS
def test_a_scatter_skips_ids_out_of_bounds(target: str, ids: list[int]) -> None:
    index = np.array(ids, np.int32)
    values = np.random.default_rng(2).standard_normal((len(index), 13)).astype(np.float32)
    legal = (index >= 0) & (index < 150)
    expected = np.zeros((150, 13), np.float32)
    expected[index[legal]] = values[legal]
    np.testing.assert_array_equal(Simulator(target).run(scatter_rows, values, index[:, None], 150).outputs, expected)


def test_a_gather_may_repeat_rows() -> None:
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    ids = np.array([2, 2, 0, 2], np.int32)[:, None]
    np.testing.assert_array_equal(Simulator("trn2").run(gather_rows, table, ids).outputs, table[ids[:, 0]])
