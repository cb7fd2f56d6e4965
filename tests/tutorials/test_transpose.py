"""Tutorial 3 at sizes that do not divide into tiles."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nkisim import Simulator

from .kernels.transpose import transpose_inside_partitions, transpose_on_tensor_engine, transpose_on_vector_engine

TARGETS = pytest.mark.parametrize("target", ["trn2", "trn3"])


@TARGETS
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 1, 1), id="one-element"),
        pytest.param((128, 3, 5), id="all-partitions"),
        pytest.param((131, 17, 9), id="three-partitions-more"),
    ],
)
def test_free_dimensions_change_places(target: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).standard_normal(shape, np.float32)
    run = Simulator(target).run(transpose_inside_partitions, x)
    np.testing.assert_array_equal(run.outputs, x.transpose(0, 2, 1))


@TARGETS
@pytest.mark.parametrize("kernel", [transpose_on_tensor_engine, transpose_on_vector_engine], ids=lambda k: k.__name__)
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 129), id="one-row"),
        pytest.param((128, 128), id="one-square-tile"),
        pytest.param((33, 130), id="ragged-both-ways"),
    ],
)
def test_partitions_and_free_elements_change_places(
    target: str, kernel: Any, dtype: Any, shape: tuple[int, ...]
) -> None:
    x = np.random.default_rng(2).standard_normal(shape).astype(dtype)
    np.testing.assert_array_equal(Simulator(target).run(kernel, x).outputs, x.T)


@pytest.mark.parametrize("kernel", [transpose_on_tensor_engine, transpose_on_vector_engine], ids=lambda k: k.__name__)
def test_a_transpose_keeps_nan_and_infinity(kernel: Any) -> None:
    x = np.random.default_rng(3).standard_normal((40, 50), np.float32)
    x[3, 4], x[39, 0] = np.nan, -np.inf
    np.testing.assert_array_equal(Simulator("trn2").run(kernel, x).outputs, x.T)
