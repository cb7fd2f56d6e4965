# SPDX-License-Identifier: Apache-2.0
"""where, gather_flattened, and random numbers: rand, random_seed, dropout."""

from __future__ import annotations

from typing import Any

from nkisim.errors import NotSimulated, ShapeError
from nkisim.instructions.dma_copy import dma_copy
from nkisim.instructions.dropout import dropout as drop
from nkisim.instructions.nc_n_gather import nc_n_gather
from nkisim.instructions.rng import rng
from nkisim.instructions.set_rng_seed import set_rng_seed
from nkisim.instructions.tensor_copy_predicated import tensor_copy_predicated
from nkisim.instructions.tensor_scalar import tensor_scalar
from nkisim.language.allocation import full, ndarray
from nkisim.language.elementwise import binary, broadcast, cast, tile_of, unary
from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.operations.operators import operator

_BITS = 24  # of a random float32: its mantissa


def where(condition: Any, x: Any, y: Any, dtype: Any = None) -> NkiTensor:
    """x where condition is not 0, else y; x and y are tiles or numbers.

    condition is a tile [P, ...]; tiles have its rank, and sizes that are equal or 1. The result is a new SBUF tile of
    its shape in dtype, by default that of the first tile among x and y, or of condition.

    Raises:
        ArgumentError: condition is no tile on chip.
    """
    chosen = binary(operator("not_equal"), tile_of(condition, "condition"), 0, "uint8")
    first = next((t for t in (x, y) if isinstance(t, NkiTensor)), condition)
    kind, shape = dtype or first.dtype, condition.shape
    is_tile = isinstance(y, NkiTensor)
    dst = unary(operator("copy"), broadcast(y, shape), kind) if is_tile else full(shape, y, kind)
    tensor_copy_predicated(dst, cast(broadcast(x, shape), kind) if isinstance(x, NkiTensor) else x, chosen)
    return dst


def gather_flattened(data: NkiTensor, indices: NkiTensor, axis: int = 0, dtype: Any = None) -> NkiTensor:
    """In each partition, the elements of data's flattened free dimensions at `indices`.

    data is a tile [P, ...], indices one [P, ...] of integers; the result has the shape of indices, in dtype, by default
    data's. axis is 0, and no other is simulated.

    Raises:
        ArgumentError: one is no tile on chip.
        ShapeError: they have not the same partitions.
        NotSimulated: axis is not 0.
    """
    if axis != 0:
        raise NotSimulated("gather_flattened gathers inside each partition", f"axis={axis}", "Leave axis at 0.")
    if tile_of(data, "data").shape[0] != tile_of(indices, "indices").shape[0]:
        raise ShapeError("data and indices have the same partitions", f"{data.shape}, {indices.shape}", "Slice one.")
    dst = ndarray(indices.shape, data.dtype)
    nc_n_gather(dst, data, cast(indices, "uint32"))
    return cast(dst, dtype)


def random_seed(seed: NkiTensor) -> None:
    """Seed the generator behind `rand` with a tile `seed` [1, 1] of 32 bits.

    Raises:
        ArgumentError, ShapeError, DtypeError: seed is no such tile.
    """
    set_rng_seed(tile_of(seed, "seed"))


def rand(shape: Any, dtype: Any, buffer: Any = MemoryRegion.sbuf, name: str = "") -> NkiTensor:
    """Uniform random numbers, 0 <= r < 1 before they are rounded to `dtype`.

    shape has the partitions first on chip, at most 128. buffer is a memory, SBUF by default; name stands in errors and
    traces.

    Raises:
        ShapeError, DtypeError, PartitionError, PsumBankError: the tensor cannot exist.
    """
    dst = ndarray(shape, dtype, buffer, name)
    if dst.buffer.is_on_chip:
        _fill_with_random(dst)
        return dst
    rows = dst.reshape((1, dst.size) if dst.ndim == 1 else (dst.shape[0], dst.size // dst.shape[0]))
    for start in range(0, rows.shape[0], 128):
        part = rows[start : min(start + 128, rows.shape[0]), :]
        tile = ndarray(part.shape, dtype)
        _fill_with_random(tile)
        dma_copy(part, tile)
    return dst


def _fill_with_random(dst: NkiTensor) -> None:
    bits = ndarray(dst.shape, "uint32")
    rng(bits)
    leading = binary(operator("right_shift"), bits, 32 - _BITS)
    tensor_scalar(dst, leading, operator("multiply"), 2.0**-_BITS)


def dropout(x: Any, rate: Any, dtype: Any = None) -> NkiTensor:
    """x with elements set to 0 with probability `rate`, a number or one a partition, [P, 1].

    x is a tile [P, ...] in SBUF or PSUM, dtype that of the result, by default x's. The result is a new SBUF tile of x's
    shape.

    Raises:
        ArgumentError: x is no tile on chip.
    """
    dst = ndarray(tile_of(x).shape, x.dtype)
    drop(dst, x, rate)
    return cast(dst, dtype)
