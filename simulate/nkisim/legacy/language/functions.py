# SPDX-License-Identifier: Apache-2.0
"""Functions of `nl` that move, multiply and reduce tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import dtype_of
from nkisim.errors import BufferRuleError, kernel_location
from nkisim.legacy.isa import elementwise as isa
from nkisim.legacy.isa import matrix
from nkisim.legacy.isa.operands import copied, in_sbuf, tile
from nkisim.legacy.isa.transfer import accumulate, dma_transpose, loaded, stored
from nkisim.legacy.issue import broadcast, fresh, issue
from nkisim.legacy.language.elementwise import binary, unary
from nkisim.legacy.masks import mask_of
from nkisim.legacy.moving import put
from nkisim.legacy.operators import CORE, promoted
from nkisim.legacy.programs import current as current_launch
from nkisim.legacy.programs import without_time
from nkisim.legacy.tile import Tile
from nkisim.nki import isa as core
from nkisim.nki import language as current


def load(src: Any, *, mask: Any = None, dtype: Any = None, **_: Any) -> Tile:
    """A tile in SBUF of the elements of a tensor in HBM; a copy of one on chip."""
    if not isinstance(src, Tile):
        raise BufferRuleError("nl.load loads a tensor", f"{src!r}", "Pass a tensor, or a part of one.")
    return copied(src, dtype, mask) if src.buffer.is_on_chip else loaded(src, dtype, mask)


def store(dst: Any, value: Any, *, mask: Any = None, **_: Any) -> None:
    """Write a tile to elements of a tensor in HBM.

    Raises:
        BufferRuleError: the destination is on chip.
    """
    if not isinstance(dst, Tile) or dst.buffer.is_on_chip:
        raise BufferRuleError("nl.store stores to HBM", f"{dst!r}", "Assign to tiles on chip.")
    stored(dst, value, mask)


def load_transpose2d(src: Tile, *, mask: Any = None, dtype: Any = None) -> Tile:
    """A tile in SBUF of the transposed elements of a tensor in HBM."""
    return dma_transpose(src, axes=(1, 0), dtype=dtype)


def atomic_rmw(dst: Tile, value: Tile, op: Any, *, mask: Any = None) -> None:
    """dst = dst <op> value in HBM."""
    accumulate(dst, value, op, mask_of(mask, dst.shape))


def copy(src: Any, *, mask: Any = None, dtype: Any = None, **_: Any) -> Tile:
    """A copy in SBUF."""
    return loaded(src, dtype, mask) if src.buffer.is_hbm else copied(src, dtype, mask)


def static_cast(x: Any, dtype: Any, mask: Any = None) -> Any:
    """A copy of another type, of a tile or of an array of the host."""
    return x.astype(dtype_of(dtype).numpy) if isinstance(x, np.ndarray) else copied(tile(x), dtype, mask)


def broadcast_to(src: Any, *, shape: Any, **_: Any) -> Tile:
    """Dimensions of size 1 repeated."""
    return tile(src).broadcast_to(tuple(shape))


def expand_dims(data: Tile, axis: int) -> Tile:
    """A new dimension of size 1."""
    return data.expand_dims(axis)


def transpose(x: Any, *, dtype: Any = None, mask: Any = None) -> Tile:
    """Partitions and columns exchanged."""
    return matrix.nc_transpose(x, dtype=dtype, mask=mask)


def matmul(x: Any, y: Any, *, transpose_x: bool = False, mask: Any = None, **_: Any) -> Tile:
    """x @ y in PSUM, float32; with transpose_x the first operand is [K, M]."""
    left = tile(x, "x")
    stationary = left if transpose_x else matrix.nc_transpose(left)
    return matrix.nc_matmul(stationary, tile(y, "y"))


def where(condition: Any, x: Any, y: Any, *, dtype: Any = None, mask: Any = None) -> Tile:
    """x where the condition holds, else y."""
    test = isa.tensor_scalar(tile(condition), "not_equal", 0.0, dtype="uint8")
    shape = np.broadcast_shapes(test.shape, *[v.shape for v in (x, y) if isinstance(v, Tile)])
    kind = dtype or promoted(*[v for v in (x, y) if isinstance(v, Tile)] or [x, y])
    result = fresh(shape, kind)
    if isinstance(y, Tile):
        issue(core.tensor_copy, result, [broadcast(in_sbuf(y), shape)])
    else:
        issue(lambda dst: core.memset(dst, float(y)), result, [])
    chosen = broadcast(in_sbuf(x), shape) if isinstance(x, Tile) else x
    if isinstance(chosen, Tile) and chosen.dtype != result.dtype:
        chosen = copied(chosen, result.dtype)
    run = lambda dst, a, p: core.tensor_copy_predicated(dst, a, p)  # noqa: E731
    issue(run, result, [chosen, broadcast(test, shape)])
    return result


def gather_flattened(data: Any, indices: Any, *, mask: Any = None, dtype: Any = None) -> Tile:
    """For each partition the elements of its flattened data that the indices name."""
    without_time()
    source, index = tile(data).values(), tile(indices).values().astype(np.int64)
    rows = source.reshape(source.shape[0], -1)
    result = fresh(index.shape, dtype or data.dtype)
    put(result.home, result.spread, np.take_along_axis(rows, index.reshape(rows.shape[0], -1), 1).reshape(index.shape))
    return result


def _reduction(name: str, op: str) -> Any:
    def reduce(x: Any, axis: Any, *, dtype: Any = None, mask: Any = None, keepdims: bool = False) -> Tile:
        return matrix.tensor_reduce(op, x, axis, dtype=dtype, mask=mask, keepdims=keepdims)

    reduce.__name__ = name
    return reduce


sum, prod, max, min, all = (
    _reduction(*pair)
    for pair in (("sum", "add"), ("prod", "multiply"), ("max", "maximum"), ("min", "minimum"), ("all", "logical_and"))
)


def mean(x: Any, axis: Any, *, dtype: Any = None, mask: Any = None, keepdims: bool = False) -> Tile:
    """The average over free dimensions."""
    given = tile(x)
    total = matrix.tensor_reduce("add", given, axis, dtype="float32", mask=mask, keepdims=keepdims)
    return isa.tensor_scalar(total, "multiply", 1.0 / _count(given, axis), dtype=dtype or given.dtype)


def _count(x: Tile, axis: Any) -> int:
    return int(np.prod([x.shape[a] for a in ([axis] if isinstance(axis, int) else axis)]))


def var(x: Any, axis: Any, *, dtype: Any = None, mask: Any = None, keepdims: bool = False) -> Tile:
    """The variance over free dimensions."""
    given = tile(x)
    centre = mean(given, axis, dtype="float32", mask=mask, keepdims=True)
    apart = binary("subtract", given, centre, "float32", mask)
    return mean(
        unary(CORE["square"], apart, None, mask), axis, dtype=dtype or given.dtype, mask=mask, keepdims=keepdims
    )


def softmax(x: Any, axis: Any, *, dtype: Any = None, compute_dtype: Any = None, mask: Any = None) -> Tile:
    """exp(x - max) over its sum."""
    given = tile(x)
    largest = matrix.tensor_reduce("maximum", given, axis, dtype="float32", mask=mask, keepdims=True)
    grown = unary(CORE["exp"], binary("subtract", given, largest, "float32", mask), None, mask)
    total = matrix.tensor_reduce("add", grown, axis, mask=mask, keepdims=True)
    return binary("multiply", grown, isa.reciprocal(total), dtype or given.dtype, mask)


def rms_norm(
    x: Any, w: Any, axis: Any, n: Any, epsilon: float = 1e-6, dtype: Any = None, compute_dtype: Any = None,
    mask: Any = None,
) -> Tile:  # fmt: skip
    """x over the root of its mean square, times w."""
    given = tile(x)
    squares = unary(CORE["square"], copied(given, "float32", mask), None, mask)
    total = matrix.tensor_reduce("add", squares, axis, mask=mask, keepdims=True)
    scaled = isa.tensor_scalar(total, "multiply", 1.0 / n, op1="add", operand1=epsilon, dtype="float32")
    result = binary("multiply", given, unary(CORE["rsqrt"], scaled, None, None), "float32", mask)
    return binary("multiply", result, w, dtype or given.dtype, mask)


def dropout(x: Any, rate: Any, *, dtype: Any = None, mask: Any = None) -> Tile:
    """x with elements set to zero at random."""
    return isa.dropout(x, rate, dtype=dtype, mask=mask)


def rand(shape: Any, dtype: Any = "float32", **_: Any) -> Tile:
    """Random numbers in [0, 1)."""
    return Tile.of(current.rand(tuple(shape), dtype_of(dtype)))


def random_seed(seed: Any, **_: Any) -> None:
    """Seed the generator; a number or a [1, 1] tile."""
    if isinstance(seed, Tile):
        current.random_seed(copied(seed, "int32").core())


def loop_reduce(x: Any, op: Any, loop_indices: Any, *, dtype: Any = None, mask: Any = None) -> Tile:
    """What the iterations of loops reduce to, whole when the loops have ended; they start at 0."""
    given, where = tile(x), kernel_location()
    so_far = current_launch().reductions
    if where in so_far and any(loop_indices):
        so_far[where] = isa.tensor_tensor(in_sbuf(so_far[where]), given, op, dtype=so_far[where].dtype, mask=mask)
    else:
        so_far[where] = copied(given, dtype, mask)
    return so_far[where]


def device_print(prefix: str, x: Any = None, **_: Any) -> None:
    """Print the values of a tile, now."""
    print(prefix, x.values() if isinstance(x, Tile) else x)
