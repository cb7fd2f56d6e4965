"""Which operands of which instructions may be `.indirect()` views, on which engines, and where they start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nkisim.errors import ArgumentError, BufferRuleError, EngineError, PartitionError
from nkisim.instructions import checks
from nkisim.instructions.enums import engine as Engine
from nkisim.memory import Columns, MemoryRegion, NkiTensor, grouped

PE_GROUP, GROUP = 32, 16
OPERANDS: dict[str, tuple[str, ...]] = {
    "activate2": ("dst", "data"),
    "activation": ("dst", "data"),
    "activation_reduce": ("dst", "data"),
    "exponential": ("dst", "src"),
    "nc_matmul": ("dst", "stationary", "moving"),
    "nc_matmul_mx": ("dst", "stationary", "moving", "stationary_scale", "moving_scale"),
    "tensor_copy": ("dst", "src"),
    "tensor_copy_predicated": ("dst", "predicate"),
    "tensor_reduce": ("dst", "data"),
    "tensor_scalar": ("dst", "data"),
    "tensor_scalar_cumulative": ("dst", "src"),
    "tensor_scalar_reduce": ("dst", "data"),
    "tensor_tensor": ("dst", "data1"),
}
"""Instruction -> its operands that may be indirect, dst first, then the one whose partitions dst goes with."""

_PE_DTYPES = ("float16", "bfloat16", "float8_e4m3", "float8_e5m2", "float8_e4m3fn")
_ENGINES = {"tensor_copy": (Engine.vector, Engine.scalar)}
_PAIRS = (("stationary", "stationary_scale"), ("moving", "moving_scale"))


def is_indirect(value: Any) -> bool:
    """Whether `value` is an indirect view of columns."""
    return isinstance(value, NkiTensor) and isinstance(value.indirection, Columns)


def admit(opcode: str, given: dict[str, Any], operation: Any) -> Any:
    """`operation` with its indirect operands as its engine sees them.

    Args:
        given: the instruction's arguments by name.

    Raises:
        TargetError, ArgumentError, EngineError, BufferRuleError, PartitionError: such an operand is not allowed here.
    """
    checks.generation(4, ".indirect()")
    views = {name: value for name, value in given.items() if is_indirect(value)}
    allowed = OPERANDS.get(opcode, ())
    for name in views:
        if name not in allowed:
            raise ArgumentError(
                f"indirect operands of {opcode} are {', '.join(allowed) or 'none'}", name, "Copy it with tensor_copy."
            )
    engines = _ENGINES.get(opcode)
    if engines and operation.engine not in engines:
        names = ", ".join(e.name for e in engines)
        raise EngineError(f"an indirect {opcode} runs on {names}", operation.engine.name, "Leave engine unset.")
    if operation.engine is Engine.scalar and "dst" in views and given["dst"].buffer is MemoryRegion.psum:
        raise BufferRuleError("the Scalar Engine does not scatter into PSUM", "dst is in PSUM", "Use engine.vector.")
    if operation.engine is Engine.tensor:
        _check_matmul(opcode, given, views)
    _check_starts(views, given[allowed[1]])
    group = PE_GROUP if operation.engine is Engine.tensor else GROUP
    reads, writes = ([grouped(t, group) for t in operands] for operands in (operation.reads, operation.writes))
    return replace(operation, reads=tuple(reads), writes=tuple(writes))


def _check_matmul(opcode: str, given: dict[str, Any], views: dict[str, Any]) -> None:
    if given.get("is_transpose") and "moving" in views:
        raise ArgumentError("the moving tile of a transpose is not indirect", "moving is", "Use nc_transpose.")
    if tuple(given.get("tile_position") or (0, 0)) != (0, 0):
        raise ArgumentError(
            "indirect operands exclude PE tiling", f"tile_position {given['tile_position']}", "Use (0, 0)."
        )
    if opcode == "nc_matmul":
        for name in set(views) - {"dst"}:
            checks.dtype_in(name, views[name], _PE_DTYPES)
        return
    for data, scale in _PAIRS:
        indices = [views[name].indirection.index for name in (data, scale) if name in views]
        if len(indices) == 1 or len({(id(index.storage), index.layout) for index in indices}) > 1:
            raise ArgumentError(
                f"{data} and {scale} are both indirect with one index, or neither", "they differ", "Share the index."
            )


def _check_starts(views: dict[str, Any], main: Any) -> None:
    """Rules for operands that have addresses."""
    for name, view in views.items():
        index = view.indirection.index
        start = checks.start_partition(index)
        if index.storage.address is not None and start % checks.QUADRANT:
            raise PartitionError(
                "offsets start at a multiple of 32 partitions", f"those of {name} at partition {start}", "Align them."
            )
        if name != "dst":
            _together(name, view, f"the offsets of {name}", index)
        elif main.buffer is MemoryRegion.sbuf:
            _together("the offsets of dst", index, "the input", main)
        elif is_indirect(main):
            _together("the offsets of dst", index, "the offsets of the input", main.indirection.index)


def _together(first: str, a: NkiTensor, second: str, b: NkiTensor) -> None:
    starts = (checks.start_partition(a), checks.start_partition(b))
    if a.storage.address is not None and b.storage.address is not None and starts[0] != starts[1]:
        raise PartitionError(
            f"{first} and {second} start on one partition", f"partitions {starts[0]} and {starts[1]}", "Align them."
        )
