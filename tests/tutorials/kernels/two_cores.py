"""One computation on the two cores of a logical NeuronCore, which share HBM but not SBUF."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl


@nki.jit
def column_sums_through_hbm(x: Any) -> Any:
    """Sums [1, F] of the rows of x [R, F]: each core adds up its share of rows, core 0 adds the two sums."""
    F, core, cores = x.shape[1], nl.program_id(0), nl.num_programs(0)
    partial = nl.ndarray((cores, F), dtype=nl.float32, buffer=nl.shared_hbm)
    out = nl.ndarray((1, F), dtype=nl.float32, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=partial[core : core + 1, :], src=sum_rows(x, core, cores))
    nisa.core_barrier(data=partial, cores=(0, 1))
    if core == 0:
        total = load(partial[0:1, :])
        nisa.tensor_tensor(dst=total, data1=total, data2=load(partial[1:2, :]), op=nl.add)
        nisa.dma_copy(dst=out, src=total)
    return out


@nki.jit
def column_sums_by_exchange(x: Any) -> Any:
    """The same sums, exchanged from SBUF to SBUF; both cores know the result, each writes half of it."""
    F, core, cores = x.shape[1], nl.program_id(0), nl.num_programs(0)
    out = nl.ndarray((1, F), dtype=nl.float32, buffer=nl.shared_hbm)
    mine = sum_rows(x, core, cores)
    other = nl.ndarray((1, F), dtype=nl.float32, buffer=nl.sbuf)
    nisa.sendrecv(src=mine, dst=other, send_to_rank=1 - core, recv_from_rank=1 - core, pipe_id=0)
    nisa.tensor_tensor(dst=mine, data1=mine, data2=other, op=nl.add)
    middle = (F + 1) // 2
    half = slice(0, middle) if core == 0 else slice(middle, F)
    if half.stop > half.start:
        nisa.dma_copy(dst=out[:, half], src=mine[:, half])
    return out


def sum_rows(x: Any, core: int, cores: int) -> Any:
    """The sum [1, F] of rows core, core + cores, ... of x, one row at a time."""
    total = nl.zeros((1, x.shape[1]), dtype=nl.float32)
    for row in range(core, x.shape[0], cores):
        nisa.tensor_tensor(dst=total, data1=total, data2=load(x[row : row + 1, :]), op=nl.add)
    return total


def load(source: Any) -> Any:
    """An SBUF tile with the values of an HBM tensor."""
    tile = nl.ndarray(source.shape, dtype=source.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=source)
    return tile
