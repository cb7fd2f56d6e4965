"""GELU of a product on one core, tile by tile.

left_t is [K, M], right [K, N], bias [1, N]; both operands of each matmul are loaded for it.
"""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

P, COLUMNS = 128, 512
_SCALE, _CUBE = 0.7978845608028654, 0.044715


@nki.jit
def fused(left_t: Any, right: Any, bias: Any, cubic: bool) -> Any:
    """GELU by its table, or by sigmoid of a cubic polynomial."""
    M, N = left_t.shape[1], right.shape[1]
    result = nl.ndarray((M, N), dtype=left_t.dtype, buffer=nl.shared_hbm)
    for m in range(0, M, P):
        for n in range(0, N, COLUMNS):
            tile = _product(left_t, right, bias, m, n)
            gelu = _cubic(tile) if cubic else _table(tile)
            nisa.dma_copy(dst=result[m : m + P, n : n + COLUMNS], src=gelu)
    return result


def _new(dtype: Any, columns: int = COLUMNS) -> Any:
    return nl.ndarray((P, columns), dtype=dtype, buffer=nl.sbuf)


def _product(left_t: Any, right: Any, bias: Any, m: int, n: int) -> Any:
    """One tile with its bias."""
    dtype = left_t.dtype
    total = nl.ndarray((P, COLUMNS), dtype=nl.float32, buffer=nl.psum)
    for k in range(0, left_t.shape[0], P):
        left, moving = _new(dtype, P), _new(dtype)
        nisa.dma_copy(dst=left, src=left_t[k : k + P, m : m + P])
        nisa.dma_copy(dst=moving, src=right[k : k + P, n : n + COLUMNS])
        nisa.nc_matmul(dst=total, stationary=left, moving=moving)
    tile, added = _new(dtype), _new(dtype)
    nisa.tensor_copy(dst=tile, src=total)
    nisa.dma_copy(dst=added, src=bias.ap(pattern=[[0, P], [1, COLUMNS]], offset=n))
    nisa.tensor_tensor(dst=tile, data1=tile, data2=added, op=nl.add)
    return tile


def _table(tile: Any) -> Any:
    result = _new(tile.dtype)
    nisa.activation(dst=result, op=nl.gelu, data=tile)
    return result


def _cubic(x: Any) -> Any:
    """x (1 + tanh(c (x + d x^3))) / 2, one operation an instruction."""
    times, plus = nl.multiply, nl.add
    square, cube, inner, gate, half, result = (_new(x.dtype) for _ in range(6))
    nisa.tensor_tensor(dst=square, data1=x, data2=x, op=times)
    nisa.tensor_tensor(dst=cube, data1=square, data2=x, op=times)
    nisa.tensor_scalar(dst=cube, data=cube, op0=times, operand0=_CUBE)
    nisa.tensor_tensor(dst=inner, data1=x, data2=cube, op=plus)
    nisa.tensor_scalar(dst=inner, data=inner, op0=times, operand0=_SCALE)
    nisa.activation(dst=gate, op=nl.sigmoid, data=inner, scale=2.0)
    nisa.tensor_scalar(dst=gate, data=gate, op0=times, operand0=2.0, op1=nl.subtract, operand1=1.0)
    nisa.tensor_scalar(dst=gate, data=gate, op0=plus, operand0=1.0)
    nisa.tensor_scalar(dst=half, data=x, op0=times, operand0=0.5)
    nisa.tensor_tensor(dst=result, data1=half, data2=gate, op=times)
    return result
