"""Tutorial 2 at sizes that do not divide into tiles."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nkisim import Simulator

from .kernels.tiled_matmul import matmul_loading_as_it_goes, matmul_loading_once

KERNELS = pytest.mark.parametrize("kernel", [matmul_loading_as_it_goes, matmul_loading_once], ids=lambda k: k.__name__)


def random(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@KERNELS
@pytest.mark.parametrize("target", ["trn2", "trn3"])
@pytest.mark.parametrize(
    ("K", "M", "N"),
    [
        pytest.param(1, 1, 1, id="one-product"),
        pytest.param(128, 128, 512, id="exactly-one-tile"),
        pytest.param(129, 130, 513, id="a-little-more-than-a-tile-every-way"),
        pytest.param(300, 7, 1100, id="three-contraction-tiles-three-column-tiles"),
    ],
)
def test_a_tiled_product_equals_numpy(kernel: Any, target: str, K: int, M: int, N: int) -> None:
    left_t, right = random(K, K, M), random(N, K, N)
    product = Simulator(target).run(kernel, left_t, right).outputs
    np.testing.assert_allclose(product, left_t.T @ right, rtol=0, atol=1e-6 * K)


@KERNELS
def test_bfloat16_operands_are_multiplied_in_fp32(kernel: Any) -> None:
    left_t, right = random(1, 200, 33).astype(ml_dtypes.bfloat16), random(2, 200, 65).astype(ml_dtypes.bfloat16)
    exact = left_t.astype(np.float32).T @ right.astype(np.float32)
    np.testing.assert_allclose(Simulator("trn2").run(kernel, left_t, right).outputs, exact, rtol=0, atol=1e-4)


def test_hoisting_loads_reads_each_operand_once_a_stripe_of_columns() -> None:
    left_t, right = random(1, 256, 384), random(2, 256, 1024)
    as_it_goes = Simulator("trn2").run(matmul_loading_as_it_goes, left_t, right).profile
    once = Simulator("trn2").run(matmul_loading_once, left_t, right).profile
    assert once.hbm_read == left_t.nbytes + right.nbytes
    assert as_it_goes.hbm_read == 2 * left_t.nbytes + 3 * right.nbytes
    assert as_it_goes.macs == once.macs == 256 * 384 * 1024


def test_psum_holds_one_tile_at_a_time() -> None:
    run = Simulator("trn2").run(matmul_loading_once, random(1, 130, 300), random(2, 130, 1030))
    assert run.profile.psum_peak_banks == 1
