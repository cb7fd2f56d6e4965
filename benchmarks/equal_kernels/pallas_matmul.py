"""The matmuls for JAX Pallas in interpret mode.

XLA compiles what the interpreter traces, for the CPU: the first call is slow, later ones are not interpreted.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from equal_kernels import TILE_K, TILE_M, TILE_N

VERSION = jax.__version__
Array = np.ndarray[Any, np.dtype[Any]]


def matmul(left: Array, right: Array, interpret: Any = True) -> Array:
    """left [M, K] @ right [K, N]."""
    return np.asarray(_matmul(left, right, interpret))


def grouped_matmul(rows: Array, weights: Array, tile_experts: Array, interpret: Any = True) -> Array:
    """Tile i of rows [tiles * 128, K] times weights[tile_experts[i]] of [E, K, N]."""
    return np.asarray(_grouped_matmul(rows, weights, tile_experts, interpret))


@functools.partial(jax.jit, static_argnums=2)
def _matmul(left: Any, right: Any, interpret: Any) -> Any:
    (M, K), N = left.shape, right.shape[1]
    return pl.pallas_call(
        _add_product,
        grid=(M // TILE_M, N // TILE_N, K // TILE_K),
        in_specs=[
            pl.BlockSpec((TILE_M, TILE_K), lambda m, n, k: (m, k)),
            pl.BlockSpec((TILE_K, TILE_N), lambda m, n, k: (k, n)),
        ],
        out_specs=pl.BlockSpec((TILE_M, TILE_N), lambda m, n, k: (m, n)),
        out_shape=jax.ShapeDtypeStruct((M, N), jnp.float32),
        interpret=interpret,
    )(left, right)


@functools.partial(jax.jit, static_argnums=3)
def _grouped_matmul(rows: Any, weights: Any, tile_experts: Any, interpret: Any) -> Any:
    (M, K), N = rows.shape, weights.shape[2]
    spec = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=1,
        grid=(M // TILE_M, N // TILE_N, K // TILE_K),
        in_specs=[
            pl.BlockSpec((TILE_M, TILE_K), lambda m, n, k, experts: (m, k)),
            pl.BlockSpec((None, TILE_K, TILE_N), lambda m, n, k, experts: (experts[m], k, n)),
        ],
        out_specs=pl.BlockSpec((TILE_M, TILE_N), lambda m, n, k, experts: (m, n)),
    )
    shape = jax.ShapeDtypeStruct((M, N), jnp.float32)
    kernel = pl.pallas_call(_add_grouped_product, grid_spec=spec, out_shape=shape, interpret=interpret)
    return kernel(tile_experts, rows, weights)


def _add_product(left: Any, right: Any, out: Any) -> None:
    """out += left @ right, from zero at the first tile of K."""

    @pl.when(pl.program_id(2) == 0)
    def _() -> None:
        out[...] = jnp.zeros_like(out)

    out[...] += jnp.dot(left[...], right[...], preferred_element_type=jnp.float32)


def _add_grouped_product(experts: Any, rows: Any, weights: Any, out: Any) -> None:
    _add_product(rows, weights, out)
