"""A body repeated on the device and the same body written out."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from calibrate.kernels import kernel
from calibrate.kernels.tiles import empty, in_hbm

_ITERATIONS = 64


def _repeat(body: Any, on_device: bool) -> None:
    if on_device:
        nl.fori_loop(0, _ITERATIONS, body)
        return
    for i in range(_ITERATIONS):
        body(i)


@kernel
def streamed_tiles(_: Any, on_device: bool, columns: int = 2048) -> None:
    """An iteration: load [128, columns] of fp32, an activation, a tensor_scalar, store."""
    shape = (_ITERATIONS, 128, columns)
    source, target = (nl.ndarray(shape, dtype=nl.float32, buffer=nl.shared_hbm) for _ in range(2))

    def body(i: Any) -> None:
        data, middle, result = empty(columns), empty(columns), empty(columns)
        nisa.dma_copy(dst=data, src=source.select(0, i))
        nisa.activation(dst=middle, op=nl.exp, data=data)
        nisa.tensor_scalar(dst=result, data=middle, op0=nl.multiply, operand0=2.0, engine=nisa.engine.vector)
        nisa.dma_copy(dst=target.select(0, i), src=result)

    _repeat(body, on_device)


@kernel
def one_instruction(_: Any, on_device: bool) -> None:
    """An iteration: a small load."""
    source, tile = in_hbm(128, 512), empty(512)

    def body(_: Any) -> None:
        nisa.dma_copy(dst=tile, src=source)

    _repeat(body, on_device)


@kernel
def one_iteration(_: Any, on_device: bool) -> None:
    """A tensor_scalar, in a loop of one iteration between two others, or without a loop."""
    data = empty(512)
    nisa.memset(dst=data, value=1.0, engine=nisa.engine.vector)

    def body(_: Any) -> None:
        nisa.tensor_scalar(dst=data, data=data, op0=nl.multiply, operand0=2.0, engine=nisa.engine.vector)

    body(0)
    if on_device:
        nl.fori_loop(0, 1, body)
    else:
        body(0)
    body(0)
