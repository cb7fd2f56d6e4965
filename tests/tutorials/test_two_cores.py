"""Tutorial 7 with even and odd shares."""

from typing import Any

import numpy as np
import pytest

from nkisim import Simulator

from .kernels.two_cores import column_sums_by_exchange, column_sums_through_hbm


@pytest.mark.parametrize("target", ["trn2", "trn3"])
@pytest.mark.parametrize("kernel", [column_sums_through_hbm, column_sums_by_exchange], ids=lambda k: k.__name__)
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        pytest.param(1, 1, id="nothing-for-core-1"),
        pytest.param(2, 8, id="a-row-each"),
        pytest.param(7, 33, id="odd-rows-and-columns"),
    ],
)
def test_two_cores_add_up_what_numpy_does(target: str, kernel: Any, rows: int, columns: int) -> None:
    x = np.random.default_rng(rows).standard_normal((rows, columns), np.float32)
    sums = Simulator(target).run(kernel[2], x).outputs
    np.testing.assert_allclose(sums, x.sum(axis=0, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("kernel", [column_sums_through_hbm, column_sums_by_exchange], ids=lambda k: k.__name__)
def test_two_cores_give_the_same_bits_every_time(kernel: Any) -> None:
    x = np.random.default_rng(5).standard_normal((9, 17), np.float32)
    first, second = (Simulator("trn2").run(kernel[2], x).outputs for _ in range(2))
    np.testing.assert_array_equal(first, second)
