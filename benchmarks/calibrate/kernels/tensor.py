"""The Tensor Engine: one instruction after the other, and its clock."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from calibrate.kernels import kernel
from calibrate.kernels.tiles import empty, filled


@kernel
def matmuls(_: Any, columns: int = 512, dtype: str = "bfloat16", k: int = 128, repeats: int = 64) -> None:
    """With one set of weights, into one bank."""
    left, right = filled(128, dtype, partitions=k), filled(columns, dtype, partitions=k)
    total = empty(columns, memory="psum")
    for _repeat in range(repeats):
        nisa.nc_matmul(dst=total, stationary=left, moving=right)


@kernel
def matmuls_with_new_weights(_: Any, columns: int = 16, dtype: str = "bfloat16", repeats: int = 64) -> None:
    """Each with other weights."""
    left, right = filled(128 * 8, dtype), filled(columns, dtype)
    total = empty(columns, memory="psum")
    for i in range(repeats):
        at = i % 8 * 128
        nisa.nc_matmul(dst=total, stationary=left[:, at : at + 128], moving=right)


@kernel
def transposes(_: Any, dtype: str = "float32", repeats: int = 128) -> None:
    """Of [128, 128], on the Tensor Engine."""
    data, result = filled(128, dtype), empty(128, dtype, "psum")
    for _repeat in range(repeats):
        nisa.nc_transpose(dst=result, data=data, engine=nisa.engine.tensor)


@kernel
def dependent_matmuls(_: Any, columns: int = 128, dtype: str = "float32", repeats: int = 8) -> None:
    """Each multiplies what the Vector Engine has copied of the one before."""
    left, right = filled(128, dtype), filled(columns, dtype)
    for _repeat in range(repeats):
        total = empty(columns, memory="psum")
        nisa.nc_matmul(dst=total, stationary=left, moving=right)
        right = empty(columns, dtype)
        nisa.tensor_copy(dst=right, src=total, engine=nisa.engine.vector)


@kernel
def matmuls_after_a_pause(_: Any, pause: int, before: int = 64, after: int = 64) -> None:
    """Busy, then waiting for `pause` instructions of 0.43 us on the Vector Engine, then busy again."""
    left, right, total = filled(128, "bfloat16"), filled(512, "bfloat16"), empty(512, memory="psum")
    for _repeat in range(before):
        nisa.nc_matmul(dst=total, stationary=left, moving=right)
    other, result = filled(512, "bfloat16"), empty(512, memory="psum")
    nisa.tensor_copy(dst=other, src=total, engine=nisa.engine.vector)
    for _repeat in range(pause):
        nisa.tensor_scalar(dst=other, data=other, op0=nl.multiply, operand0=1.0, engine=nisa.engine.vector)
    for _repeat in range(after):
        nisa.nc_matmul(dst=result, stationary=left, moving=other)


@kernel
def paced_matmuls(_: Any, pace: int, repeats: int = 48) -> None:
    """Each multiplies what `pace` instructions of the Vector Engine made, which wait for each other: 0.3 us each."""
    left, total = filled(128, "bfloat16"), empty(512, memory="psum")
    data, other = filled(512, "bfloat16"), filled(512, "bfloat16")
    for _repeat in range(repeats):
        for _step in range(pace):
            nisa.tensor_scalar(dst=other, data=data, op0=nl.multiply, operand0=1.0, engine=nisa.engine.vector)
            data, other = other, data
        nisa.nc_matmul(dst=total, stationary=left, moving=data)


@kernel
def mixed_matmuls(_: Any, repeats: int = 512) -> None:
    """As many of full size, with K 32, with M 32 and with N 64."""
    left, right = filled(128, "bfloat16"), filled(512, "bfloat16")
    for k, m, n in ((128, 128, 512), (32, 128, 512), (128, 32, 512), (128, 128, 64)):
        total = nl.ndarray((m, n), dtype=nl.float32, buffer=nl.psum)
        for _repeat in range(repeats):
            nisa.nc_matmul(dst=total, stationary=left[0:k, 0:m], moving=right[0:k, 0:n])
