"""The same Pallas kernels in TPU interpret mode, which models the memories and transfers of a TPU."""

from typing import Any

import numpy as np
from jax.experimental.pallas import tpu as pltpu

from equal_kernels import pallas_matmul

VERSION = pallas_matmul.VERSION
Array = np.ndarray[Any, np.dtype[Any]]
_INTERPRET = pltpu.InterpretParams()


def matmul(left: Array, right: Array) -> Array:
    """left [M, K] @ right [K, N]."""
    return pallas_matmul.matmul(left, right, _INTERPRET)


def grouped_matmul(rows: Array, weights: Array, tile_experts: Array) -> Array:
    """Tile i of rows [tiles * 128, K] times weights[tile_experts[i]] of [E, K, N]."""
    return pallas_matmul.grouped_matmul(rows, weights, tile_experts, _INTERPRET)
