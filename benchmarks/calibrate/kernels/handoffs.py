"""A result of one engine, used by another one."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from calibrate.kernels import kernel
from calibrate.kernels.tiles import empty, filled

_COLUMNS = 128


@kernel
def from_matmul(_: Any, engine: str) -> None:
    """To a copy out of PSUM."""
    left, right, total = filled(128, "bfloat16"), filled(512, "bfloat16"), empty(512, memory="psum")
    nisa.nc_matmul(dst=total, stationary=left, moving=right)
    nisa.tensor_copy(dst=empty(512), src=total, engine=getattr(nisa.engine, engine))


@kernel
def to_matmul(_: Any) -> None:
    """From a copy by the Vector Engine, which the matmul moves."""
    left, data, right = filled(128, "bfloat16"), filled(512, "bfloat16"), empty(512, "bfloat16")
    nisa.nc_matmul(dst=empty(512, memory="psum"), stationary=left, moving=data)
    nisa.tensor_copy(dst=right, src=data, engine=nisa.engine.vector)
    nisa.nc_matmul(dst=empty(512, memory="psum"), stationary=left, moving=right)


@kernel
def between(_: Any, producer: str, consumer: str) -> None:
    """From a tensor_scalar on one engine to a tensor_copy on another, or the same, one."""
    data, middle = filled(_COLUMNS), empty(_COLUMNS)
    engines = nisa.engine
    nisa.tensor_scalar(dst=middle, data=data, op0=nl.multiply, operand0=2.0, engine=getattr(engines, producer))
    nisa.tensor_copy(dst=empty(_COLUMNS), src=middle, engine=getattr(engines, consumer))


@kernel
def register_moves(_: Any, repeats: int = 16) -> None:
    """Constants to registers."""
    for i in range(repeats):
        nisa.register_move(nisa.register_alloc(), i)


@kernel
def register_loads(rows: Any, repeats: int = 8) -> None:
    """Words of HBM to registers."""
    for i in range(repeats):
        nisa.register_load(nisa.register_alloc(), rows[i : i + 1, :])


@kernel
def exchange(_: Any, columns: int) -> None:
    """sendrecv of one partition of fp32 between two cores, then a copy of what came."""
    other = 1 - nl.program_id(0)
    mine, theirs = filled(columns, partitions=1), empty(columns, partitions=1)
    nisa.sendrecv(src=mine, dst=theirs, send_to_rank=other, recv_from_rank=other, pipe_id=0)
    nisa.tensor_copy(dst=empty(columns, partitions=1), src=theirs, engine=nisa.engine.vector)
