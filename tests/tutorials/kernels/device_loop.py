"""Loops whose trip count only the device knows."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl


@nki.jit
def sum_of_first(blocks: Any, count: Any) -> Any:
    """blocks[0] + ... + blocks[count - 1], for blocks [B, P, F] and count [1, 1] int32."""
    _, P, F = blocks.shape
    out = nl.ndarray((P, F), dtype=nl.float32, buffer=nl.shared_hbm)
    total = nl.zeros((P, F), dtype=nl.float32)
    block = nl.ndarray((P, F), dtype=blocks.dtype, buffer=nl.sbuf)

    def add_block(i: Any) -> None:
        nisa.dma_copy(dst=block, src=blocks.select(0, i))
        nisa.tensor_tensor(dst=total, data1=total, data2=block, op=nl.add)

    nl.fori_loop(0, load_register(count), add_block)
    nisa.dma_copy(dst=out, src=total)
    return out


@nki.jit
def sum_along_chain(values: Any, following: Any, first: Any) -> Any:
    """values[i] + values[following[i]] + ... from i = first until index 0, for values [N, F], following [N, 1]."""
    F = values.shape[1]
    out = nl.ndarray((1, F), dtype=nl.float32, buffer=nl.shared_hbm)
    total = nl.zeros((1, F), dtype=nl.float32)
    row = nl.ndarray((1, F), dtype=values.dtype, buffer=nl.sbuf)
    link = nl.ndarray((1, 1), dtype=nl.int32, buffer=nl.sbuf)

    def visit(i: Any) -> Any:
        nisa.dma_copy(dst=row, src=values[nl.ds(i, 1), :])
        nisa.tensor_tensor(dst=total, data1=total, data2=row, op=nl.add)
        nisa.dma_copy(dst=link, src=following[nl.ds(i, 1), :])
        nisa.register_load(i, link)
        return i

    nl.while_loop(load_register(first), visit)
    nisa.dma_copy(dst=out, src=total)
    return out


def load_register(number: Any) -> Any:
    """A register with the only element of an HBM tensor [1, 1]."""
    tile = nl.ndarray((1, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=number)
    register = nisa.register_alloc()
    nisa.register_load(register, tile)
    return register
