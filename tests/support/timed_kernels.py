"""Small kernels that are bound by something known."""

from __future__ import annotations

from typing import Any

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl


def every_engine(x: Any, w: Any) -> Any:
    """exp(x.T @ w) / 2, three times over, on the Tensor, Scalar, Vector and GpSimd Engine; on one core or two."""
    out = nl.ndarray((128, 128), nl.float32, buffer=nl.shared_hbm)
    rows = nl.ndarray((128, 128), nl.bfloat16, buffer=nl.sbuf)
    weights = nl.ndarray((128, 128), nl.bfloat16, buffer=nl.sbuf)
    nisa.dma_copy(dst=rows, src=x)
    nisa.dma_copy(dst=weights, src=w)
    product = nl.ndarray((128, 128), nl.float32, buffer=nl.psum)
    result = nl.ndarray((128, 128), nl.float32, buffer=nl.sbuf)
    copied = nl.ndarray((128, 128), nl.float32, buffer=nl.sbuf)
    for _ in range(3):
        nisa.nc_matmul(dst=product, stationary=rows, moving=weights, accumulate=False)
        nisa.activation(dst=result, op=nl.exp, data=product)
        nisa.tensor_scalar(dst=result, data=result, op0=nl.multiply, operand0=0.5)
        nisa.tensor_copy(dst=copied, src=result, engine=nisa.engine.gpsimd)
    if nl.program_id(0) == 0:
        nisa.dma_copy(dst=out, src=copied)
    if nl.num_programs(0) == 2:
        nisa.core_barrier(out, (0, 1))
    return out


def copy_hbm(x: Any, times: int = 8) -> Any:
    """x through SBUF, `times` times: nothing but DMA."""
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    for _ in range(times):
        tile = nl.ndarray(x.shape, x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x)
        nisa.dma_copy(dst=out, src=tile)
    return out


def many_matmuls(times: int = 400) -> Any:
    """Nothing but matmuls, each on the same operands."""
    a = nl.ndarray((128, 128), nl.bfloat16, buffer=nl.sbuf)
    b = nl.ndarray((128, 512), nl.bfloat16, buffer=nl.sbuf)
    nisa.memset(a, 0.0)
    nisa.memset(b, 0.0)
    total = nl.ndarray((128, 512), nl.float32, buffer=nl.psum)
    for i in range(times):
        nisa.nc_matmul(dst=total, stationary=a, moving=b, accumulate=i > 0)
    out = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(out, total)
    return None


def many_vector_instructions(times: int = 50) -> Any:
    """Nothing but the Vector Engine, each instruction on the result of the last."""
    tile = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.memset(tile, 0.0, engine=nisa.engine.vector)
    for _ in range(times):
        nisa.tensor_scalar(dst=tile, data=tile, op0=nl.add, operand0=1.0, engine=nisa.engine.vector)
    return None
