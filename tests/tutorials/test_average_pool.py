"""Tutorial 4 at sizes that the window does not divide."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nkisim import Simulator

from .kernels.average_pool import average_pool


def pooled(images: Any, pool: int) -> Any:
    C, H, W = images.shape
    whole = images[:, : H // pool * pool, : W // pool * pool].astype(np.float32)
    return whole.reshape(C, H // pool, pool, W // pool, pool).mean(axis=(2, 4))


@pytest.mark.parametrize("target", ["trn2", "trn3"])
@pytest.mark.parametrize(
    ("shape", "pool"),
    [
        pytest.param((1, 2, 2), 2, id="one-window"),
        pytest.param((3, 7, 11), 1, id="windows-of-one-copy-the-image"),
        pytest.param((5, 7, 11), 3, id="one-row-and-two-columns-left-over"),
        pytest.param((130, 9, 8), 4, id="two-channels-more-than-partitions"),
    ],
)
def test_average_pool_equals_numpy(target: str, shape: tuple[int, ...], pool: int) -> None:
    images = np.random.default_rng(pool).standard_normal(shape, np.float32)
    means = Simulator(target).run(average_pool, images, pool).outputs
    np.testing.assert_allclose(means, pooled(images, pool), atol=1e-6)


def test_bfloat16_images_are_averaged_in_fp32() -> None:
    images = np.random.default_rng(9).standard_normal((4, 12, 12)).astype(ml_dtypes.bfloat16)
    means = Simulator("trn2").run(average_pool, images, 4).outputs
    np.testing.assert_array_equal(means, pooled(images, 4).astype(ml_dtypes.bfloat16))
