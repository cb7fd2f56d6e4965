# SPDX-License-Identifier: Apache-2.0
"""Element-wise instructions of NKI 0.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ShapeError
from nkisim.legacy.isa.operands import column, copied, in_sbuf, tile
from nkisim.legacy.issue import broadcast, issue, result_of
from nkisim.legacy.operators import DIVIDE, core_operator, name_of, promoted
from nkisim.legacy.tile import Tile
from nkisim.memory import MemoryRegion
from nkisim.nki import isa as core
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import reduce_cmd as ReduceCmd


def tensor_copy(src: Any, *, mask: Any = None, dtype: Any = None, engine: Engine = Engine.unknown) -> Tile:
    """A copy in SBUF."""
    given = tile(src, "src")
    return result_of(
        lambda dst, x: core.tensor_copy(dst, x, engine=engine), given.shape, dtype or given.dtype, [given], mask
    )


def tensor_tensor(
    data1: Any, data2: Any, op: Any, *, dtype: Any = None, mask: Any = None, engine: Engine = Engine.unknown
) -> Tile:
    """data1 <op> data2."""
    left, right = tile(data1, "data1"), tile(data2, "data2")
    kind = dtype or promoted(left, right)
    if name_of(op) == DIVIDE:
        return tensor_tensor(left, reciprocal(right, dtype="float32"), np.multiply, dtype=kind, mask=mask)
    operands = apart(left, right)
    run = lambda dst, a, b: core.tensor_tensor(dst, a, b, op=core_operator(op), engine=engine)  # noqa: E731
    return result_of(run, operands[0].shape, kind, operands, mask)


def apart(left: Tile, right: Tile) -> list[Tile]:
    """Two operands of one shape, of which at most one is in PSUM. Free dimensions are aligned at their end.

    Raises:
        ShapeError: their shapes do not fit each other.
    """
    if left.buffer is MemoryRegion.psum and right.buffer is MemoryRegion.psum:
        right = copied(right)
    ndim = max(left.ndim, right.ndim)
    left, right = _with_free_dims(left, ndim), _with_free_dims(right, ndim)
    try:
        shape = np.broadcast_shapes(left.shape, right.shape)
    except ValueError:
        raise ShapeError(
            "tiles have sizes that are equal or 1", f"{left.shape} and {right.shape}", "Reshape one of them."
        ) from None
    return [broadcast(left, shape), broadcast(right, shape)]


def _with_free_dims(x: Tile, ndim: int) -> Tile:
    """The tile with dimensions of size 1 behind its partitions, as many as it lacks."""
    return x.reshape((x.shape[0], *[1] * (ndim - x.ndim), *x.shape[1:])) if x.ndim < ndim else x


def tensor_scalar(
    data: Any, op0: Any, operand0: Any, reverse0: bool = False, op1: Any = None, operand1: Any = None,
    reverse1: bool = False, *, dtype: Any = None, mask: Any = None, engine: Engine = Engine.unknown,
) -> Tile:  # fmt: skip
    """(data <op0> operand0) <op1> operand1, with numbers or one element a partition."""
    given = tile(data)
    kind = dtype or given.dtype
    if DIVIDE in (name_of(op0), name_of(op1) if op1 is not None else ""):
        return _divided(given, (op0, operand0, reverse0), (op1, operand1, reverse1), kind, mask)
    first, second = core_operator(op0), None if op1 is None else core_operator(op1)
    columns = [x if op.bitwise else column(x) for op, x in ((first, operand0), (second or first, operand1))]

    def run(dst: Any, x: Any, a: Any, b: Any) -> None:
        core.tensor_scalar(dst, x, first, a, reverse0, second, b, reverse1, engine=engine)

    return result_of(run, given.shape, kind, [given, *columns], mask)


def _divided(x: Tile, first: Any, second: Any, kind: Any, mask: Any) -> Tile:
    """Steps with a division, which is a multiplication by the reciprocal."""
    for i, (op, operand, reverse) in enumerate((first, second)):
        if op is None:
            continue
        wanted = kind if i == 1 or second[0] is None else "float32"
        if name_of(op) != DIVIDE:
            x = tensor_scalar(x, op, operand, reverse, dtype=wanted, mask=mask)
        elif reverse:
            x = tensor_scalar(reciprocal(x, dtype="float32", mask=mask), np.multiply, operand, dtype=wanted, mask=mask)
        else:
            inverse = reciprocal(operand, dtype="float32") if isinstance(operand, Tile) else 1.0 / operand
            x = tensor_scalar(x, np.multiply, inverse, dtype=wanted, mask=mask)
    return x


def scalar_tensor_tensor(
    *, data: Any, op0: Any, operand0: Any, op1: Any, operand1: Any, reverse0: bool = False, reverse1: bool = False,
    dtype: Any = None, mask: Any = None, **_: Any,
) -> Tile:  # fmt: skip
    """(data <op0> operand0) <op1> operand1, the second operand a tile."""
    given, other = tile(data), tile(operand1, "operand1")
    if DIVIDE in (name_of(op0), name_of(op1)):
        first = tensor_scalar(given, op0, operand0, reverse0, dtype="float32", mask=mask)
        pair = (other, first) if reverse1 else (first, other)
        return tensor_tensor(*pair, op1, dtype=dtype or promoted(given, other), mask=mask)
    given, other = apart(given, other)

    def run(dst: Any, x: Any, a: Any, y: Any) -> None:
        core.scalar_tensor_tensor(dst, x, core_operator(op0), a, core_operator(op1), y, reverse0, reverse1)

    return result_of(run, given.shape, dtype or promoted(given, other), [given, column(operand0), other], mask)


def activation(
    op: Any, data: Any, *, bias: Any = None, scale: Any = 1.0, reduce_op: Any = None, reduce_res: Any = None,
    reduce_cmd: ReduceCmd = ReduceCmd.idle, dtype: Any = None, mask: Any = None,
) -> Tile:  # fmt: skip
    """op(data * scale + bias) on the Scalar Engine."""
    given = tile(data)
    reduction = None if reduce_op is None else core_operator(reduce_op)

    def run(dst: Any, x: Any, b: Any, s: Any, res: Any) -> None:
        core.activation(dst, core_operator(op), x, b, s, reduction, res, reduce_cmd)

    operands = [given, column(bias), column(scale), reduce_res]
    return result_of(run, given.shape, dtype or given.dtype, operands, mask)


def activation_reduce(
    op: Any, data: Any, *, reduce_op: Any = None, reduce_res: Any = None, bias: Any = None, scale: Any = 1.0,
    mask: Any = None, dtype: Any = None,
) -> Tile:  # fmt: skip
    """activation, its results also reduced along the free dimensions into `reduce_res`."""
    given = tile(data)

    def run(dst: Any, x: Any, b: Any, s: Any, res: Any) -> None:
        core.activation_reduce(dst, core_operator(op), x, core_operator(reduce_op), res, b, s)

    operands = [given, column(bias), column(scale), reduce_res]
    return result_of(run, given.shape, dtype or given.dtype, operands, mask)


def tensor_scalar_reduce(
    *, data: Any, op0: Any, operand0: Any, reduce_op: Any, reduce_res: Any, reverse0: bool = False,
    dtype: Any = None, mask: Any = None,
) -> Tile:  # fmt: skip
    """data <op0> operand0, its results also reduced along the free dimensions into `reduce_res`."""
    given = tile(data)

    def run(dst: Any, x: Any, a: Any, res: Any) -> None:
        core.tensor_scalar_reduce(dst, x, core_operator(op0), a, core_operator(reduce_op), res, reverse0)

    return result_of(run, given.shape, dtype or given.dtype, [given, column(operand0), reduce_res], mask)


def reciprocal(data: Any, *, dtype: Any = None, mask: Any = None) -> Tile:
    """1 / data."""
    given = tile(data)
    return result_of(core.reciprocal, given.shape, dtype or given.dtype, [given], mask)


def dropout(data: Any, prob: Any, *, mask: Any = None, dtype: Any = None) -> Tile:
    """The data, with elements set to zero at random."""
    given = tile(data)
    run = lambda dst, x, p: core.dropout(dst, x, p)  # noqa: E731
    return result_of(run, given.shape, dtype or given.dtype, [given, column(prob)], mask)


def memset(shape: Any, value: Any, dtype: Any, *, mask: Any = None, engine: Engine = Engine.unknown) -> Tile:
    """A tile of one value."""
    return result_of(lambda dst: core.memset(dst, value, engine=engine), tuple(int(n) for n in shape), dtype, [], mask)


def tensor_copy_predicated(
    *, src: Any, dst: Tile, predicate: Any, mask: Any = None, dtype: Any = None, reverse_pred: bool = False
) -> None:
    """dst = src where the predicate is not 0."""
    value = column(src) if not isinstance(src, Tile) else broadcast(in_sbuf(src), dst.shape)
    condition = broadcast(_bits(predicate, dst), dst.shape)
    run = lambda out, x, p: core.tensor_copy_predicated(out, x, p, reverse_pred)  # noqa: E731
    issue(run, dst, [value, condition], mask)


def _bits(predicate: Any, dst: Tile) -> Tile:
    """A predicate of 0 and 1 in a type that the instruction takes."""
    given = tile(predicate, "predicate")
    return given if given.dtype in ("uint8", "uint16", "uint32") else copied(given, "uint8")


def tensor_tensor_scan(
    data0: Any, data1: Any, initial: Any, op0: Any, op1: Any, reverse0: bool = False, reverse1: bool = False, *,
    dtype: Any = None, mask: Any = None,
) -> Tile:  # fmt: skip
    """result[i] = (result[i - 1] <op0> data0[i]) <op1> data1[i] along the free dimension."""
    left, right = tile(data0, "data0"), tile(data1, "data1")
    left, right = apart(left, right)

    def run(dst: Any, a: Any, b: Any, start: Any) -> None:
        core.tensor_tensor_scan(dst, a, b, start, core_operator(op0), core_operator(op1), reverse0, reverse1)

    return result_of(run, left.shape, dtype or promoted(left, right), [left, right, column(initial)], mask)


def affine_select(pred: Any, on_true_tile: Any, on_false_value: float, *, mask: Any = None, dtype: Any = None) -> Tile:
    """The tile where the comparison of index tensors holds, else a number."""
    given = tile(on_true_tile)
    if not isinstance(pred, np.ndarray) or pred.dtype != np.bool_:
        raise ShapeError("pred compares index tensors", f"{pred!r}", "Write pred=(i_p >= i_f).")
    result = result_of(lambda dst: core.memset(dst, on_false_value), given.shape, dtype or given.dtype, [])
    issue(core.tensor_copy, result, [given], np.broadcast_to(pred, given.shape))
    return result if mask is None else tensor_copy(result, mask=mask)


def tensor_scalar_cumulative(
    *, src: Any, dst: Tile, op0: Any, op1: Any, imm0: Any, imm1: Any = None,
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce, mask: Any = None, **_: Any,
) -> None:  # fmt: skip
    """dst[i] = (src[i] <op0> imm0) <op1> dst[i - 1] along the free dimension."""

    def run(out: Any, x: Any, a: Any, b: Any) -> None:
        core.tensor_scalar_cumulative(out, x, core_operator(op0), core_operator(op1), a, b, reduce_cmd)

    issue(run, dst, [tile(src, "src"), column(imm0), column(imm1)], mask)


def range_select(
    *, on_true_tile: Any, comp_op0: Any, comp_op1: Any, bound0: Any, bound1: Any,
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce, reduce_res: Any = None, reduce_op: Any = np.max,
    range_start: int = 0, on_false_value: float = -3.4028234663852886e38, mask: Any = None, dtype: Any = None,
) -> Tile:  # fmt: skip
    """The tile where the column's number lies between two bounds a partition, else a number."""
    given = tile(on_true_tile)

    def run(dst: Any, x: Any, low: Any, high: Any, res: Any) -> None:
        core.range_select(
            dst, x, core_operator(comp_op0), core_operator(comp_op1), low, high, reduce_cmd, res,
            core_operator(reduce_op), range_start, on_false_value,
        )  # fmt: skip

    operands = [given, column(bound0), column(bound1), reduce_res]
    return result_of(run, given.shape, dtype or given.dtype, operands, mask)


def select_reduce(
    *, dst: Tile, predicate: Any, on_true: Any, on_false: Any, reduce_res: Any = None,
    reduce_cmd: ReduceCmd = ReduceCmd.idle, reduce_op: Any = np.max, reverse_pred: bool = False, mask: Any = None,
    dtype: Any = None,
) -> None:  # fmt: skip
    """on_true where the predicate is not 0, else on_false, into dst; the rows reduced into reduce_res."""

    def run(out: Any, p: Any, a: Any, b: Any, res: Any) -> None:
        core.select_reduce(out, p, a, b, res, reduce_cmd, core_operator(reduce_op), reverse_pred)

    issue(run, dst, [_bits(predicate, dst), tile(on_true), column(on_false), reduce_res], mask)
