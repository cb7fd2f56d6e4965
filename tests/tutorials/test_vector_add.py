"""Tutorial 1 at sizes that do not divide into tiles."""

import ml_dtypes
import numpy as np
import pytest

from nkisim import Simulator

from .kernels.vector_add import vector_add


@pytest.mark.parametrize("target", ["trn2", "trn3"])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        pytest.param(1, 1, id="one-element"),
        pytest.param(128, 2048, id="exactly-one-tile"),
        pytest.param(129, 2049, id="one-row-and-one-column-more-than-a-tile"),
        pytest.param(300, 7, id="three-row-tiles-of-seven-columns"),
    ],
)
def test_vector_add_equals_numpy(target: str, rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows)
    a, b = rng.standard_normal((2, rows, columns), np.float32)
    run = Simulator(target).run(vector_add, a, b)
    np.testing.assert_array_equal(run.outputs, a + b)
    assert run.profile.hbm_read == a.nbytes + b.nbytes
    assert run.profile.hbm_written == a.nbytes


def test_a_bfloat16_sum_is_rounded_once() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((2, 130, 33)).astype(ml_dtypes.bfloat16)
    exact = a.astype(np.float32) + b.astype(np.float32)
    np.testing.assert_array_equal(Simulator("trn2").run(vector_add, a, b).outputs, exact.astype(ml_dtypes.bfloat16))
