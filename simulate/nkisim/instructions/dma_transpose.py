# SPDX-License-Identifier: Apache-2.0
"""dma_transpose: transpose on the way through the DMA engines, with optional row gather."""

from __future__ import annotations

from typing import Any

from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, ShapeError
from nkisim.memory import NkiTensor, described
from nkisim.observe import CostClass
from nkisim.operations import checks, device_rules
from nkisim.operations.enums import dge_mode as DgeMode
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import oob_mode as OobMode
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation

AXES = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}


@instruction(cost=CostClass.transpose, on=Engine.dma, by_forms=True)
def dma_transpose(
    dst: NkiTensor,
    src: NkiTensor,
    axes: tuple[int, ...] | None = None,
    priority: Any = None,
    dge_mode: DgeMode = DgeMode.unknown,
    oob_mode: OobMode = OobMode.error,
    name: str | None = None,
) -> Operation:
    """dst = transpose(src): (1,0), (2,1,0) or (3,1,2,0) by rank; a vector_offset on src gathers rows first.

    With `oob_mode.skip` the columns of dst whose row is out of bounds keep what they hold.

    axes may say which permutation is meant, and is no other.

    ```python
    x, turned = nl.ones((128, 64), nl.bfloat16), nl.ndarray((64, 128), nl.bfloat16, buffer=nl.sbuf)
    nisa.dma_transpose(dst=turned, src=x)
    ```
    """
    checks.reachable_by_dma("src", src)
    checks.reachable_by_dma("dst", dst)
    if dst.buffer.is_hbm:
        raise BufferRuleError("dst is in SBUF", f"{dst.buffer.value}", "Copy it to HBM afterwards.")
    checks.same_dtype("dst", dst, "src", src)
    checks.writable("dst", dst)
    order = AXES.get(src.ndim)
    if order is None or (axes is not None and tuple(axes) != order):
        raise ArgumentError(
            "axes are (1,0), (2,1,0) or (3,1,2,0) for 2, 3 or 4 dimensions",
            f"{axes} for {src.shape}",
            "Permute first.",
        )
    if dst.shape != tuple(src.shape[a] for a in order):
        raise ShapeError("dst is src transposed", f"{dst.shape} for {src.shape}", "Fix dst's shape.")
    if src.dtype.itemsize not in (2, 4):
        raise DtypeError("DMA transposes 2- and 4-byte elements", f"{src.dtype}", "Reinterpret with .view first.")
    checks.priority(priority)
    gathers, oob_mode = src.indirection is not None, OobMode(oob_mode)  # public kernels also pass the numbers
    if oob_mode is OobMode.skip and not gathers:
        raise ArgumentError("oob_mode.skip needs a runtime index", "static addresses", "Drop oob_mode.")
    dge_mode = DgeMode(dge_mode)
    _check_mode(src, dge_mode, gathers)
    mode = dge_mode if dge_mode is not DgeMode.unknown else DgeMode.swdge if gathers else DgeMode.none
    if mode is DgeMode.hwdge:
        device_rules.aligned_transpose(dst)
    details = {"dge": mode.name, "transpose": True}
    rows_first = (0, *order[:-1])  # rows of src are the last dimension of dst
    if oob_mode is OobMode.skip:
        return Operation(
            Engine.dma, (src,), (dst,), lambda x: x.transpose(rows_first),
            details={**details, "columns": dst.shape[-1]}, name=name, skip_out_of_bounds=True, rows_last=True,
        )  # fmt: skip
    return Operation(Engine.dma, (src,), (dst,), lambda x: x.transpose(order), details=details, name=name)


def _check_mode(src: NkiTensor, mode: DgeMode, gathers: bool) -> None:
    if gathers:
        _check_gather(src, mode)
    elif mode is DgeMode.swdge:
        raise ArgumentError("a direct transpose is unknown, none or hwdge", mode.name, "Leave dge_mode unset.")
    elif mode is DgeMode.hwdge:
        first, last = src.shape[0], src.shape[-1]
        tiled = first == 16 if src.ndim == 2 else first in (1, 2, 4, 8, 16) and first * src.shape[-2] % 16 == 0
        if not tiled or last > 128 or src.dtype.itemsize != 2:
            raise ShapeError(
                "a hwdge transpose takes 16 rows (3-D and 4-D: shape[0]*shape[-2] a multiple of 16), "
                "at most 128 columns, 2-byte elements",
                f"{src.dtype}{src.shape}",
                "Leave dge_mode unset.",
            )


def _check_gather(src: NkiTensor, mode: DgeMode) -> None:
    if mode not in (DgeMode.unknown, DgeMode.swdge):
        raise ArgumentError("a gathering transpose is unknown or swdge", mode.name, "Leave dge_mode unset.")
    index = src.indirection.index if src.indirection else None
    if not src.buffer.is_hbm or src.shape[0] % 16 or src.shape[-1] > 128 or src.dtype.itemsize != 2:
        raise ShapeError(
            "a gathering transpose reads HBM rows in multiples of 16, at most 128 columns of 2 bytes",
            f"{src.buffer.value} {src.dtype}{src.shape}",
            "Pad the rows, split the columns.",
        )
    if not isinstance(index, NkiTensor) or index.dtype != "uint32" or index.shape[0] % 16 or index.shape[0] > 128:
        raise ShapeError(
            "its indices are a uint32 SBUF tile of 16..128 partitions, a multiple of 16",
            described(index),
            "Reshape or cast the indices.",
        )
    if src.ndim == 4 and 1 not in src.shape[1:3]:
        raise ShapeError("a 4-D gathering transpose has a middle dimension of 1", f"{src.shape}", "Split it.")
    if index.ndim != 2:
        raise ShapeError("the indices of a gathering transpose are two-dimensional", f"{index.shape}", "Flatten them.")
    if checks.free_size(index) > 1 and index.shape[0] != 128:
        raise ShapeError("index tiles with several columns have 128 partitions", f"{index.shape}", "Use 128.")
