# SPDX-License-Identifier: Apache-2.0
"""nc_matmul_mx: matmul of MX data with their scales on the Tensor Engine of NeuronCore-v4."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError, ShapeError
from nkisim.memory import MATMUL, NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks, mx
from nkisim.operations.enums import engine as Engine
from nkisim.operations.indirect import IndirectOperands, untiled
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.pe_tiling import check_tiling
from nkisim.operations.psum_groups import continues

_PAIRS = (("stationary", "stationary_scale"), ("moving", "moving_scale"))
_COLUMNS = {"float32": 4096, "bfloat16": 8192}


def _check_indirect(given: dict[str, Any], views: dict[str, Any]) -> None:
    untiled(given)
    for data, scale in _PAIRS:
        indices = [views[name].indirection.index for name in (data, scale) if name in views]
        if len(indices) == 1 or len({(id(index.storage), index.layout) for index in indices}) > 1:
            raise ArgumentError(
                f"{data} and {scale} are both indirect with one index, or neither", "they differ", "Share the index."
            )


@instruction(
    cost=CostClass.matmul,
    on=Engine.tensor,
    indirect=IndirectOperands(
        ("dst", "stationary", "moving", "stationary_scale", "moving_scale"), check=_check_indirect
    ),
    limit="tile_position without tile_size, or the reverse, is refused: whether one has an effect is open",
    by_forms=True,
)
def nc_matmul_mx(
    dst: NkiTensor,
    stationary: NkiTensor,
    moving: NkiTensor,
    stationary_scale: NkiTensor,
    moving_scale: NkiTensor,
    tile_position: tuple[int, ...] | None = None,
    tile_size: tuple[int, ...] | None = None,
    accumulate: bool | None = None,
    name: str | None = None,
) -> Operation:
    """dst[M, N] (+)= the product of the dequantised operands over 4 x partitions, in fp32.

    Each partition holds four contraction values an element; 8 partitions x 4 values share a scale.

    accumulate is that of nc_matmul.

    ```python
    source, q = nl.ones((128, 512), nl.bfloat16), nl.ndarray((128, 128), nl.float8_e4m3fn_x4, buffer=nl.sbuf)
    scale = nl.ndarray((128, 128), nl.uint8, buffer=nl.sbuf)
    nisa.quantize_mx(dst=q, src=source, dst_scale=scale)
    product = nl.ndarray((128, 128), nl.float32, buffer=nl.psum)
    nisa.nc_matmul_mx(dst=product, stationary=q, moving=q, stationary_scale=scale, moving_scale=scale)
    ```
    """
    checks.generation(4, "nc_matmul_mx")
    rows = mx.data_rows("stationary", stationary)
    mx.data_rows("moving", moving)
    checks.in_psum("dst", dst)
    checks.dtype_in("stationary", stationary, mx.PACKED)
    checks.dtype_in("moving", moving, mx.PACKED)
    checks.dtype_in("dst", dst, tuple(_COLUMNS))
    checks.writable("dst", dst)
    m, n = _check_shapes(dst, stationary, moving)
    tile = check_tiling(tile_position, tile_size, rows, m, rows_only=True)
    left_scales = mx.scale_rows("stationary_scale", stationary_scale, "stationary", stationary, m)
    right_scales = mx.scale_rows("moving_scale", moving_scale, "moving", moving, n)
    split = len(left_scales)
    accumulates = continues(dst, accumulate)

    def compute(left: Any, right: Any, *scales: Any) -> Any:
        return np.matmul(mx.dequantize(left, scales[:split]).T, mx.dequantize(right, scales[split:]))

    reads = (stationary, moving, *left_scales, *right_scales, *((dst,) if accumulates is True else ()))
    in_part = not isinstance(accumulates, bool)
    details = {"transpose": False, "double_row": False, "onezero": False, "adds_in_part": in_part, "mx": True, **tile}
    work = Work(n, 4 * rows * m * n)
    return Operation(
        Engine.tensor, reads, (dst,), compute, work, details, name,
        leaves=MATMUL, accumulates=accumulates, state_decides=accumulate is None,
    )  # fmt: skip


def _check_shapes(dst: NkiTensor, stationary: NkiTensor, moving: NkiTensor) -> tuple[int, int]:
    if stationary.shape[0] != moving.shape[0]:
        raise ShapeError(
            "stationary and moving contract over the same partitions",
            f"{stationary.shape[0]} and {moving.shape[0]}",
            "Slice both to the same K.",
        )
    m, n, most = checks.free_size(stationary), checks.free_size(moving), _COLUMNS[dst.dtype]
    if m > 128 or m % 2:
        raise ShapeError("the free size of stationary is even and at most 128", f"{m}", "Pad it to an even size.")
    if n > most:
        raise ShapeError(f"the free size of moving is at most {most} for a {dst.dtype} dst", f"{n}", "Split it.")
    if (dst.shape[0], checks.free_size(dst)) != (m, n):
        raise ShapeError(
            "dst is [columns of stationary, columns of moving]", f"{dst.shape} for {m} and {n}", "Fix dst's shape."
        )
    return m, n
