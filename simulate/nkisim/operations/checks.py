# SPDX-License-Identifier: Apache-2.0
"""Guards shared by the instructions. Each states one rule of the hardware, raises with the actual value, and helps."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from nkisim.dtypes import DType
from nkisim.errors import (
    ArgumentError,
    BufferRuleError,
    DtypeError,
    EngineError,
    PartitionError,
    PsumBankError,
    ShapeError,
    TargetError,
    ViewError,
)
from nkisim.execution.neuron_core import current_core
from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.operations.enums import engine as Engine

PARTITIONS = 128
QUADRANT = 32


def tensor(value: Any, operand: str) -> NkiTensor:
    """`value`, which must be a tensor."""
    if not isinstance(value, NkiTensor):
        raise ArgumentError(f"{operand} is an NKI tensor", f"{type(value).__name__}", "Allocate it with nl.ndarray.")
    return value


def free_size(t: NkiTensor) -> int:
    """Elements a partition."""
    return math.prod(t.shape[1:])


def on_chip(*named: tuple[str, NkiTensor]) -> None:
    """Operands are SBUF or PSUM tiles of at most 128 partitions that start where the hardware allows."""
    for operand, t in named:
        tensor(t, operand)
        if not t.buffer.is_on_chip:
            raise BufferRuleError(
                f"{operand} is in SBUF or PSUM",
                f"{t.buffer.value}",
                "Load it into SBUF with nisa.dma_copy first.",
            )
        partitions(operand, t)
        access_pattern(operand, t)


def in_sbuf(*named: tuple[str, NkiTensor]) -> None:
    """Operands are in SBUF."""
    for operand, t in named:
        if tensor(t, operand).buffer is not MemoryRegion.sbuf:
            raise BufferRuleError(f"{operand} is in SBUF", f"{t.buffer.value}", "Copy it to an SBUF tile first.")
        partitions(operand, t)
        access_pattern(operand, t)


def access_pattern(operand: str, t: NkiTensor) -> None:
    """What one instruction of a compute engine can address within a partition: elements, dimensions, steps.

    The access-pattern guide allows four dimensions a partition. Neighbouring dimensions that one step describes count
    as one, as a compiler would merge them. Elements that a broadcast repeats count once: public kernels repeat more.
    """
    machine = current_core().machine
    most = machine[f"access.{t.buffer.value}_elements"]
    count = math.prod([n for n, step in zip(t.shape[1:], t.strides[1:], strict=True) if step])
    if count > most:
        raise ShapeError(
            f"one instruction addresses at most {most} elements a partition of {t.buffer.name}",
            f"{operand} has {count}",
            "Split the free dimension.",
        )
    if t.ndim == 2 and abs(t.strides[1]) < machine["access.stride_elements"]:
        return
    dims = merged_dims(t)
    if len(dims) > machine["access.free_dimensions"]:
        raise ViewError(
            f"an access has at most {machine['access.free_dimensions']} free dimensions of different step",
            f"{operand} has {len(dims)}: [step, count] {dims}",
            "Issue one instruction for each index of the outermost one.",
        )
    steep = [
        step for step, _ in dims if not -machine["access.stride_elements"] <= step < machine["access.stride_elements"]
    ]
    if steep:
        raise ViewError(
            "a step is a signed 16-bit number of elements",
            f"{operand} steps {steep[0]}",
            "Reinterpret as a wider type.",
        )


def merged_dims(t: NkiTensor) -> list[list[int]]:
    """[step, count] of the free dimensions, outermost first, neighbours merged where one step describes both."""
    dims: list[list[int]] = []
    for step, count in zip(t.strides[1:], t.shape[1:], strict=True):
        if count == 1:
            continue
        if dims and dims[-1][0] == step * count:
            dims[-1] = [step, dims[-1][1] * count]
        else:
            dims.append([step, count])
    return dims


def in_psum(operand: str, t: NkiTensor) -> None:
    """The operand is in PSUM."""
    if tensor(t, operand).buffer is not MemoryRegion.psum:
        raise BufferRuleError(f"{operand} is in PSUM", f"{t.buffer.value}", "Allocate it with buffer=nl.psum.")
    partitions(operand, t)


def partitions(operand: str, t: NkiTensor) -> None:
    """At most 128 partitions, starting at 0; up to 64 may start at 0 or 64; up to 32 at any quadrant."""
    count = t.shape[0]
    if count > PARTITIONS:
        raise PartitionError(f"{operand} spans at most 128 partitions", f"{count}", "Split it into tiles of 128.")
    start = start_partition(t)
    step = QUADRANT if count <= 32 else 64 if count <= 64 else 128
    if start % step:
        raise PartitionError(
            f"an access to {count} partitions starts at a multiple of {step}",
            f"{operand} starts at partition {start}",
            "Align the tile, or move it with nc_stream_shuffle or DMA.",
        )


def start_partition(t: NkiTensor) -> int:
    """Physical partition of the first element; tensors without an address start at 0."""
    within = t.offset * t.dtype.itemsize // t.storage.row_bytes if t.storage.row_bytes else 0
    return within + (t.storage.address[0] if t.storage.address else 0)


def same_tile(*named: tuple[str, NkiTensor]) -> None:
    """Operands have equal partitions and equal elements a partition."""
    (first, a), *rest = named
    for operand, t in rest:
        if t.shape[0] != a.shape[0] or free_size(t) != free_size(a):
            raise ShapeError(
                f"{operand} has the partitions and the elements a partition of {first}",
                f"{t.shape} against {a.shape}",
                "Slice the operands to the same tile, or repeat one: partitions with nl.broadcast_to, free dimensions "
                "with .broadcast(dim, size).",
            )


def writable(operand: str, t: NkiTensor) -> None:
    """A destination addresses each element once. (Rows of a scatter are the business of its indices.)"""
    rows = 1 if t.indirection is not None and t.indirection.per_partition else 0
    if _repeats(list(zip(t.strides[rows:], t.shape[rows:], strict=True))):
        raise ShapeError(
            f"{operand} does not repeat elements",
            f"strides {t.strides} for {t.shape}",
            "Write to a real tile.",
        )


def _repeats(dims: list[tuple[int, int]]) -> bool:
    """Whether a pattern of (stride, count) comes to some element twice."""
    reach = 0
    steps = sorted((abs(stride), count) for stride, count in dims if count > 1)
    for stride, count in steps:
        if stride <= reach:
            offsets = functools.reduce(np.add.outer, [np.arange(n) * s for s, n in steps])
            return bool(np.unique(offsets).size < offsets.size)
        reach += stride * (count - 1)
    return False


def two_inputs(dst: NkiTensor, first: tuple[str, NkiTensor], second: tuple[str, NkiTensor]) -> None:
    """An element-wise instruction of the Vector Engine with two input tiles: equal tiles on chip, one PSUM port."""
    named = (("dst", dst), first, second)
    on_chip(*named)
    not_packed(*named)
    same_tile(*named)
    writable("dst", dst)
    not_both_in_psum(*first, *second)


def not_both_in_psum(first: str, a: NkiTensor, second: str, b: NkiTensor) -> None:
    """The Vector Engine reads at most one of two tensors from PSUM."""
    if a.buffer is MemoryRegion.psum and b.buffer is MemoryRegion.psum:
        raise BufferRuleError(
            f"{first} and {second} are not both in PSUM",
            "both are",
            "Evict one to SBUF with nisa.tensor_copy.",
        )


def scalar_or_column(operand: str, value: Any, like: NkiTensor, dtype: str | None = None) -> list[NkiTensor]:
    """`value` is a number, or a tile [partitions of `like`, 1]. Returns it as a list of tensor operands."""
    if isinstance(value, (int, float, np.generic)):
        return []
    t = tensor(value, operand)
    on_chip((operand, t))
    if t.shape[0] != like.shape[0] or free_size(t) != 1:
        raise ShapeError(
            f"{operand} is a number or one element a partition",
            f"shape {t.shape} for a tile of {like.shape[0]} partitions",
            "Use nisa.tensor_tensor for full tiles.",
        )
    if dtype is not None and t.dtype != dtype:
        raise DtypeError(f"{operand} is {dtype}", f"{t.dtype}", f"Copy it to a {dtype} tile first.")
    return [t]


def dtype_in(operand: str, t: NkiTensor, allowed: tuple[str, ...]) -> None:
    """The operand's dtype is one of `allowed`."""
    if t.dtype not in allowed:
        raise DtypeError(f"{operand} is one of {', '.join(allowed)}", f"{t.dtype}", "Cast it with nisa.tensor_copy.")


def same_dtype(first: str, a: NkiTensor, second: str, b: NkiTensor) -> None:
    """Two operands have one dtype."""
    if a.dtype != b.dtype:
        raise DtypeError(
            f"{first} and {second} have one data type",
            f"{a.dtype} and {b.dtype}",
            "Cast one with nisa.tensor_copy.",
        )


def not_packed(*named: tuple[str, NkiTensor]) -> None:
    """MX-packed tensors are only for the MX instructions and plain copies."""
    for operand, t in named:
        if t.dtype.kind == "packed":
            raise DtypeError(f"{operand} is not MX-packed", f"{t.dtype}", "Use nc_matmul_mx or quantize_mx.")


def choose_engine(given: Engine, allowed: tuple[Engine, ...], default: Engine) -> Engine:
    """An engine that is asked for has the instruction. Returns it, or the default."""
    if given is Engine.unknown:
        return default
    if given not in allowed:
        names = ", ".join(e.name for e in allowed)
        raise EngineError(f"this instruction runs on {names}", f"engine {given.name}", "Leave engine unset.")
    return given


def gpsimd_stays_out_of_psum(unit: Engine, *named: tuple[str, NkiTensor]) -> None:
    """GpSimd has no port to PSUM."""
    for operand, t in named:
        if unit is Engine.gpsimd and t.buffer is MemoryRegion.psum:
            raise BufferRuleError(
                "GpSimd cannot access PSUM", f"{operand} is in PSUM", "Use engine.vector, or copy to SBUF."
            )


def psum_banks(operand: str, t: NkiTensor) -> None:
    """Before NeuronCore-v4 one instruction's PSUM access by the PE stays in one 2 KiB bank of each partition."""
    machine = current_core().machine
    bank = machine.psum_bank_bytes
    within = t.offset * t.dtype.itemsize % t.storage.row_bytes
    within += t.storage.address[1] if t.storage.address else 0
    reach = sum(s * (n - 1) for s, n in zip(t.strides[1:], t.shape[1:], strict=True)) * t.dtype.itemsize
    first, last = within // bank, (within + reach + t.dtype.itemsize - 1) // bank
    if machine.generation < 4 and first != last:
        raise PsumBankError(
            f"{operand} stays in one PSUM bank of {bank} bytes a partition",
            f"bytes {within}..{within + reach + t.dtype.itemsize - 1} touch banks {first}..{last}",
            "Split the output at bank boundaries (512 fp32 elements).",
        )


def priority(level: int | None) -> None:
    """DMA priorities are 0 (highest) to 3, on NeuronCore-v4."""
    if level is not None:
        generation(4, "DMA priority")
        if level not in (0, 1, 2, 3):
            raise ArgumentError("a DMA priority is 0, 1, 2 or 3", f"{level!r}", "Use 0 for the most urgent.")


def generation(minimum: int, feature: str) -> None:
    """The target is NeuronCore-v`minimum` or newer."""
    machine = current_core().machine
    if machine.generation < minimum:
        raise TargetError(
            f"{feature} needs NeuronCore-v{minimum} or newer",
            f"target {machine.name}",
            "Choose another target.",
        )


def whole(operand: str, value: Any, dtype: DType) -> None:
    """A number for an integer tile is an integer: nothing rounds it on the way."""
    if dtype.is_integer and not float(value).is_integer():
        raise ArgumentError(f"{operand} of a tile of {dtype} is an integer", f"{value!r}", "Round it in Python.")


def integer_only(operand: str, dtype: DType) -> None:
    """Bit operations work on integers."""
    if not dtype.is_integer:
        raise DtypeError(f"{operand} of a bitwise operation is an integer tile", f"{dtype}", "Reinterpret with .view.")


def reachable_by_dma(operand: str, t: Any) -> None:
    """DMA engines reach HBM and SBUF."""
    if tensor(t, operand).buffer is MemoryRegion.psum:
        raise BufferRuleError("DMA cannot access PSUM", f"{operand} is in PSUM", "Copy it to SBUF with tensor_copy.")
    if t.buffer is MemoryRegion.sbuf and t.shape[0] > PARTITIONS:
        partitions(operand, t)
