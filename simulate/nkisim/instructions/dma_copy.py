# SPDX-License-Identifier: Apache-2.0
"""dma_copy: move a tile between HBM and SBUF, with casts and runtime row selection."""

from __future__ import annotations

from typing import Any

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError, DtypeError, EngineError, ShapeError
from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.observe import CostClass
from nkisim.operations import checks
from nkisim.operations.enums import dge_mode as DgeMode
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import oob_mode as OobMode
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(cost=CostClass.transfer, on=Engine.dma, by_forms=True)
def dma_copy(
    dst: NkiTensor,
    src: NkiTensor,
    priority: Any = None,
    oob_mode: OobMode = OobMode.error,
    dge_mode: DgeMode = DgeMode.unknown,
    engine: Engine = Engine.unknown,
    name: str | None = None,
) -> Operation:
    """dst = src, element by element in row-major order, cast through fp32 where the types differ.

    dst and src have equally many elements, in HBM or SBUF. engine is who issues a transfer of hwdge: sync or scalar.

    ```python
    tile, out = nl.ones((128, 512), nl.float32), nl.ndarray((128, 512), nl.bfloat16, buffer=nl.hbm)
    nisa.dma_copy(dst=out, src=tile)  # SBUF -> HBM, rounded to bf16
    ```
    """
    for operand, t in (("dst", dst), ("src", src)):
        checks.reachable_by_dma(operand, t)
    checks.writable("dst", dst)
    if dst.size != src.size:
        raise ShapeError(
            "dst and src have the same number of elements",
            f"{dst.shape} and {src.shape}",
            _fit(dst, src),
        )
    if dst.dtype != src.dtype:
        checks.not_packed(("dst", dst), ("src", src))
    dge_mode, oob_mode = DgeMode(dge_mode), OobMode(oob_mode)  # public kernels also pass the numbers
    _check_mode(dst, src, dge_mode, engine)
    checks.priority(priority)
    skip = oob_mode is OobMode.skip
    mode = _mode(dst, src, dge_mode)
    exact = dst.dtype == src.dtype
    details = {"dge": mode.name, "queue": engine.name}
    if skip and not (dst.is_indirect() or src.is_indirect()):
        details["without_effect"] = "oob_mode.skip"
    return Operation(
        Engine.dma, (src,), (dst,), lambda x: x if exact else to_float32(x), details=details, name=name,
        skip_out_of_bounds=skip,
    )  # fmt: skip


def _fit(dst: NkiTensor, src: NkiTensor) -> str:
    """What to do about sizes that differ."""
    rows = dst.shape[0]
    if dst.size != rows * src.size or src.buffer is MemoryRegion.sbuf:  # no view repeats a partition
        return "Slice one of them."
    as_row = "" if src.shape[0] == 1 else f".reshape((1, {src.size}))"
    return f"Slice dst, or write src to each of its rows: src{as_row}.broadcast(0, {rows})."


_RINGS = 16


def _mode(dst: NkiTensor, src: NkiTensor, asked: DgeMode) -> DgeMode:
    """The descriptor generation a compiler would pick.

    On the device where the sixteen rings divide the partitions: in hardware, but in software for gathers and casts.
    """
    if asked is not DgeMode.unknown:
        return asked
    hows = [t.indirection for t in (dst, src) if t.indirection is not None]
    on_chip = dst if dst.buffer is MemoryRegion.sbuf else src
    if not hows and on_chip.shape[0] % _RINGS:
        return DgeMode.none
    return DgeMode.swdge if any(h.per_partition for h in hows) or dst.dtype != src.dtype else DgeMode.hwdge


def _check_mode(dst: NkiTensor, src: NkiTensor, mode: DgeMode, engine: Engine) -> None:
    hows = [t.indirection for t in (dst, src) if t.indirection is not None]
    if engine is not Engine.unknown:
        if mode is not DgeMode.hwdge:
            raise ArgumentError(
                "engine= chooses who issues a hwdge copy",
                f"engine with {mode.name}",
                "Pass dge_mode=dge_mode.hwdge.",
            )
        if engine not in (Engine.sync, Engine.scalar):
            raise EngineError("hwdge copies are issued by sync or scalar", f"{engine.name}", "Use engine.sync.")
    if mode is DgeMode.hwdge and dst.dtype != src.dtype:
        raise DtypeError("hwdge does not cast", f"{src.dtype} to {dst.dtype}", "Use swdge, or cast with tensor_copy.")
    if mode is DgeMode.hwdge and any(h.per_partition for h in hows):
        raise ArgumentError("hwdge takes no vector_offset", "a gather or scatter", "Use dge_mode.swdge.")
    if mode is DgeMode.none and hows:
        raise ArgumentError("dge_mode.none needs static addresses", "a runtime index", "Use swdge or hwdge.")
