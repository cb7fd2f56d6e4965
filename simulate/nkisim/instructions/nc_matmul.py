# SPDX-License-Identifier: Apache-2.0
"""nc_matmul: dst = stationary.T @ moving on the Tensor Engine, or a transpose through it."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError, DtypeError, NotSimulated, ShapeError
from nkisim.execution.neuron_core import current_core
from nkisim.memory import MATMUL, NkiTensor
from nkisim.observe import CostClass, Finding, Work
from nkisim.operations import checks, device_rules
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import matmul_perf_mode as PerfMode
from nkisim.operations.indirect import IndirectOperands, untiled
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.pe_tiling import check_tiling
from nkisim.operations.psum_groups import continues
from nkisim.operations.remembered import remembered

FP8 = ("float8_e4m3", "float8_e4m3fn", "float8_e5m2")
INPUTS = (*FP8, "bfloat16", "float16", "tfloat32", "float32")
WIDE = ("tfloat32", "float32")
_INDIRECT = ("float16", "bfloat16", "float8_e4m3", "float8_e5m2", "float8_e4m3fn")


def _check_indirect(given: dict[str, Any], views: dict[str, Any]) -> None:
    if given.get("is_transpose") and "moving" in views:
        raise ArgumentError("the moving tile of a transpose is not indirect", "moving is", "Use nc_transpose.")
    untiled(given)
    for name in set(views) - {"dst"}:
        checks.dtype_in(name, views[name], _INDIRECT)


@instruction(
    cost=CostClass.matmul,
    on=Engine.tensor,
    indirect=IndirectOperands(("dst", "stationary", "moving"), check=_check_indirect),
    limit="tile_position without tile_size, or the reverse, is refused: whether one has an effect is open",
    by_forms=True,
)
def nc_matmul(
    dst: NkiTensor,
    stationary: NkiTensor,
    moving: NkiTensor,
    is_stationary_onezero: bool = False,
    is_moving_onezero: bool = False,
    is_transpose: bool = False,
    accumulate: bool | None = None,
    tile_position: tuple[int, ...] = (),
    tile_size: tuple[int, ...] = (),
    perf_mode: PerfMode = PerfMode.none,
    name: str | None = None,
) -> Operation:
    """dst[M, N] (+)= stationary[K, M].T @ moving[K, N], products and sums in fp32.

    stationary and moving are in SBUF, bf16, fp16 and fp8 or both fp32; dst is in PSUM, float32 or, on Trn3, bfloat16. K
    and M are at most 128, N 512 on Trn2, 4096 on Trn3. accumulate=False overwrites dst, True adds to it, None adds
    where a product was written. is_transpose moves bits, with an identity as moving. perf_mode double_row takes fp8 [K,
    2, M] and [K, 2, N]. is_stationary_onezero and is_moving_onezero promise zeros and ones, which is checked.

    ```python
    weights, x = nl.ones((128, 128), nl.bfloat16), nl.ones((128, 512), nl.bfloat16)  # [K, M], [K, N]
    product = nl.ndarray((128, 512), nl.float32, buffer=nl.psum)  # [M, N]
    nisa.nc_matmul(dst=product, stationary=weights, moving=x)
    ```
    """
    perf_mode = _mode(perf_mode)
    rows = 2 if perf_mode is PerfMode.double_row else 1
    if is_transpose and (accumulate or rows == 2):
        asked = f"accumulate={accumulate}, perf_mode={perf_mode.name}"
        raise ArgumentError("a transpose neither accumulates nor uses double_row", asked, "Drop them.")
    k, m, n = _check_operands(dst, stationary, moving, is_transpose, rows)
    if rows == 1:
        device_rules.one_free_dimension("stationary", stationary)
    tile = check_tiling(tile_position, tile_size, stationary.shape[0], m, perf_mode)
    accumulates = False if is_transpose else continues(dst, accumulate)

    def compute(left: Any, right: Any) -> Any:
        left, right = to_float32(left).reshape(k, m), to_float32(right).reshape(k, n)
        if is_stationary_onezero:
            _check_onezero("is_stationary_onezero", left)
        if is_moving_onezero:
            _check_onezero("is_moving_onezero", right)
        return np.matmul(left.T, right)

    reads = (stationary, moving, dst) if accumulates is True else (stationary, moving)
    details = {
        "transpose": is_transpose,
        "double_row": rows == 2,
        "onezero": is_stationary_onezero or is_moving_onezero,
        "adds_in_part": not isinstance(accumulates, bool),
        **tile,
    }
    if is_transpose:
        return Operation(Engine.tensor, reads, (dst,), _transpose, Work(n), details, name, leaves=MATMUL)
    return Operation(
        Engine.tensor, reads, (dst,), compute, Work(n, k * m * n), details, name,
        leaves=MATMUL, accumulates=accumulates, state_decides=accumulate is None,
    )  # fmt: skip


def _mode(asked: Any) -> PerfMode:
    """The mode; public kernels also write its name."""
    if type(asked) is PerfMode:
        return asked
    try:
        return PerfMode(asked)
    except ValueError:
        names = ", ".join(mode.name for mode in PerfMode)
        raise ArgumentError(f"perf_mode is one of {names}", f"{asked!r}", "Use nisa.matmul_perf_mode.") from None


@remembered
def _check_operands(
    dst: NkiTensor, stationary: NkiTensor, moving: NkiTensor, is_transpose: bool, rows: int
) -> tuple[int, int, int]:
    """K, M and N."""
    checks.in_sbuf(("stationary", stationary), ("moving", moving))
    checks.in_psum("dst", dst)
    checks.writable("dst", dst)
    m, n = _check_shapes(dst, stationary, moving, rows)
    _check_dtypes(dst, stationary, moving, is_transpose, rows)
    checks.psum_banks("dst", dst)
    return stationary.shape[0] * rows, m, n


def _check_onezero(argument: str, values: Any) -> None:
    """A finding if the promise of `argument` is broken."""
    wrong = values[(values != 0) & (values != 1)]
    if wrong.size:
        error = ArgumentError(f"{argument} promises a tile of zeros and ones", f"{wrong[0]}", "Drop the argument.")
        current_core().watch.add([Finding(error)])


def _transpose(left: Any, right: Any) -> Any:
    """Bit-accurate: one operand is the data, the other a 0/1 matrix that only routes it."""
    identity = np.eye(right.shape[0], dtype=np.float32)
    flat = right.reshape(right.shape[0], -1)
    if flat.shape[1] == flat.shape[0] and np.array_equal(to_float32(flat), identity):
        return left.reshape(left.shape[0], -1).T
    raise NotSimulated(
        "is_transpose multiplies by an identity as the moving tile",
        "another moving tile",
        "Use nc_transpose.",
    )


def _check_shapes(dst: NkiTensor, stationary: NkiTensor, moving: NkiTensor, rows: int) -> tuple[int, int]:
    if rows == 2 and (stationary.shape[1] != 2 or moving.shape[1] != 2):
        raise ShapeError(
            "double_row operands are [K, 2, M] and [K, 2, N]",
            f"{stationary.shape} and {moving.shape}",
            "Reshape them.",
        )
    if stationary.shape[0] != moving.shape[0]:
        raise ShapeError(
            "stationary [K, M] and moving [K, N] contract over the same partitions",
            f"{stationary.shape[0]} and {moving.shape[0]}",
            "Slice both to the same K; rows become columns with nc_transpose.",
        )
    machine = current_core().machine
    m, n = checks.free_size(stationary) // rows, checks.free_size(moving) // rows
    most = machine["pe.moving_columns"] * (2 if dst.dtype == "bfloat16" and machine.generation >= 4 else 1)
    for operand, size, limit in (("stationary", m, machine["pe.stationary_columns"]), ("moving", n, most)):
        tiles = f"tiles of {limit}" + "; nc_transpose first, if its partitions are not K" * (operand == "stationary")
        if size > limit:
            raise ShapeError(
                f"the free size of {operand} is at most {limit}",
                f"{size}",
                f"Split it into {tiles}.",
            )
    if (dst.shape[0], checks.free_size(dst)) != (m, n):
        raise ShapeError(
            "dst is [columns of stationary, columns of moving]",
            f"{dst.shape} for {m} and {n}",
            "Fix dst's shape.",
        )
    return m, n


def _check_dtypes(dst: NkiTensor, stationary: NkiTensor, moving: NkiTensor, is_transpose: bool, rows: int) -> None:
    pair = (stationary.dtype, moving.dtype)
    if is_transpose:
        checks.same_dtype("dst", dst, "stationary", stationary)
        return
    for operand, t in (("stationary", stationary), ("moving", moving)):
        checks.dtype_in(operand, t, INPUTS if rows == 1 else FP8)
        if t.dtype == "float8_e4m3fn":
            checks.generation(4, "float8_e4m3fn on the PE")
    if (pair[0] in WIDE) != (pair[1] in WIDE):
        raise DtypeError("fp32 pairs with fp32", f"{pair[0]} with {pair[1]}", "Cast both to one width.")
    if set(pair) == {"float8_e4m3", "float8_e4m3fn"}:
        raise DtypeError("legacy e4m3 and e4m3fn do not mix", f"{pair[0]} with {pair[1]}", "Use one of them.")
    allowed = ("float32",) if current_core().machine.generation < 4 else ("float32", "bfloat16")
    checks.dtype_in("dst", dst, allowed)
