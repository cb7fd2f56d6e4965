"""Vector, Scalar and GpSimd Engine: equal instructions, each with a result of its own unless said."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from calibrate.kernels import kernel
from calibrate.kernels.tiles import dtype_of, empty, filled

_REPEATS = 8


@kernel
def copies(_: Any, columns: int, dtype: str = "float32", to: str = "", engine: str = "vector", src: str = "sbuf",
           dst: str = "sbuf") -> None:  # fmt: skip
    """Within SBUF and PSUM."""
    data = filled(columns, dtype, src)
    for _repeat in range(_REPEATS):
        nisa.tensor_copy(dst=empty(columns, to or dtype, dst), src=data, engine=getattr(nisa.engine, engine))


@kernel
def memsets(_: Any, columns: int, dtype: str = "float32") -> None:
    """On the GpSimd Engine, whose cycle the published figure has."""
    for _repeat in range(_REPEATS):
        nisa.memset(dst=empty(columns, dtype), value=0, engine=nisa.engine.gpsimd)


@kernel
def sums(_: Any, columns: int, dtype: str = "float32", other: str = "sbuf", partitions: int = 128) -> None:
    """Of two tiles, one of them in SBUF."""
    first, second = filled(columns, dtype, partitions=partitions), filled(columns, dtype, other, partitions)
    for _repeat in range(_REPEATS):
        nisa.tensor_tensor(dst=empty(columns, dtype, partitions=partitions), data1=first, data2=second, op=nl.add)


@kernel
def accumulations(_: Any, accumulators: int, columns: int = 512, repeats: int = 16) -> None:
    """A tile of SBUF added to accumulators in turn."""
    totals, data = [filled(columns) for _ in range(accumulators)], filled(columns)
    for i in range(repeats):
        total = totals[i % accumulators]
        nisa.tensor_tensor(dst=total, data1=total, data2=data, op=nl.add)


@kernel
def multiples(_: Any, columns: int, dtype: str = "float32", partitions: int = 128) -> None:
    """tensor_scalar by a constant."""
    data = filled(columns, dtype, partitions=partitions)
    for _repeat in range(_REPEATS):
        result = empty(columns, dtype, partitions=partitions)
        nisa.tensor_scalar(dst=result, data=data, op0=nl.multiply, operand0=2.0, engine=nisa.engine.vector)


@kernel
def multiples_to_fp8(_: Any, columns: int) -> None:
    """tensor_scalar from bf16."""
    data, result = filled(columns, "bfloat16"), empty(columns, "float8_e4m3")
    nisa.tensor_scalar(dst=result, data=data, op0=nl.multiply, operand0=2.0, engine=nisa.engine.vector)


@kernel
def multiples_with_sums(_: Any, columns: int) -> None:
    """tensor_scalar whose results are added up along the way."""
    data = filled(columns)
    for _repeat in range(_REPEATS):
        result, total = empty(columns), empty(1)
        nisa.tensor_scalar_reduce(
            dst=result, data=data, op0=nl.multiply, operand0=2.0, reduce_op=nl.add, reduce_res=total
        )


@kernel
def multiply_adds(_: Any, columns: int) -> None:
    """scalar_tensor_tensor: total = data * 2 + total."""
    data, total = filled(columns), filled(columns)
    for _repeat in range(_REPEATS):
        nisa.scalar_tensor_tensor(
            dst=empty(columns), data=data, op0=nl.multiply, operand0=2.0, op1=nl.add, operand1=total
        )


@kernel
def reductions(_: Any, columns: int, dtype: str = "float32", op: str = "add") -> None:
    """Of all columns to one."""
    data = filled(columns, dtype)
    for _repeat in range(_REPEATS):
        nisa.tensor_reduce(dst=empty(1, dtype), data=data, op=getattr(nl, op), axis=1)


@kernel
def reciprocals(_: Any, columns: int) -> None:
    """Of fp32."""
    data = filled(columns)
    for _repeat in range(_REPEATS):
        nisa.reciprocal(dst=empty(columns), data=data)


@kernel
def rounds_of_eight(_: Any, columns: int, rounds: int = 4) -> None:
    """The eight largest, where they are, and out with them."""
    data, largest, places = filled(columns), empty(8), empty(8, "uint32")
    for _repeat in range(rounds):
        nisa.max8(dst=largest, src=data)
        nisa.nc_find_index8(dst=places, data=data, vals=largest)
        nisa.nc_match_replace8(dst=data, data=data, vals=largest, imm=-1.0)


@kernel
def activations(_: Any, columns: int, op: str = "exp", dtype: str = "float32", src: str = "sbuf",
                bias: str = "") -> None:  # fmt: skip
    """The same function; the first one loads its table."""
    data = filled(columns, dtype, src)
    options = {"bias": filled(1)} if bias else {}
    for _repeat in range(_REPEATS):
        nisa.activation(dst=empty(columns, dtype), op=getattr(nl, op), data=data, **options)


@kernel
def activations_with_sums(_: Any, columns: int) -> None:
    """Squares of bf16, added up along the way."""
    data = filled(columns, "bfloat16")
    for _repeat in range(2):
        result, total = empty(columns, "bfloat16"), empty(1)
        nisa.activation_reduce(dst=result, op=nl.square, data=data, reduce_op=nl.add, reduce_res=total)


@kernel
def selections(_: Any, columns: int) -> None:
    """affine_select, a causal mask."""
    data = filled(columns)
    for _repeat in range(_REPEATS):
        nisa.affine_select(
            dst=empty(columns), pattern=[[-1, columns]], channel_multiplier=1, on_true_tile=data, on_false_value=0.0,
            cmp_op=nl.greater_equal,
        )  # fmt: skip


@kernel
def nonzeros(_: Any, columns: int) -> None:
    """Positions of nonzero elements, on all eight cores of the GpSimd Engine."""
    data = empty(columns, "int32")
    nisa.memset(dst=data, value=1)
    for _repeat in range(2):
        nisa.nonzero_with_count(dst=nl.ndarray((128, columns + 1), dtype=dtype_of("int32"), buffer=nl.sbuf), src=data)
