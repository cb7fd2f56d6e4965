# SPDX-License-Identifier: Apache-2.0
"""quantize_mx: bf16 or fp16 to MXFP8 data and scales on the Vector Engine of NeuronCore-v4."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from nkisim.dtypes import DType, convert, dtype_of, to_float32
from nkisim.errors import ArgumentError, NotSimulated, ShapeError
from nkisim.memory import NkiTensor, first_unwritten, resolve
from nkisim.observe import CostClass, Work
from nkisim.operations import checks, mx
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation

RULE = "NKISIM_MX_SCALE_RULE"
_SPARE = {"isa": 1, "ocp": 0}
_LARGEST = {"float8_e4m3fn_x4": 8, "float8_e5m2_x4": 15}


@instruction(
    cost=CostClass.mx_quantization,
    on=Engine.vector,
    limit="NaN and infinity in src are refused: their scale is not documented",
    by_forms=True,
)
def quantize_mx(dst: NkiTensor, src: NkiTensor, dst_scale: NkiTensor, name: str | None = None) -> Operation:
    """dst = src / scale, one power-of-two scale for 8 partitions x 4 elements, stored in dst_scale with bias 127.

    The scale is 2**(floor(log2(largest magnitude)) - (Emax - 1)), Emax being 8 for e4m3fn and 15 for e5m2, as NKI
    documents it now. With NKISIM_MX_SCALE_RULE=ocp it is half of that, as OCP's sample conversion and older
    references have it, and the largest values saturate. A block of zeros has scale 2**-127.

    ```python
    x, scale = nl.ones((128, 512), nl.bfloat16), nl.ndarray((128, 128), nl.uint8, buffer=nl.sbuf)
    q = nl.ndarray((128, 128), nl.float8_e4m3fn_x4, buffer=nl.sbuf)  # four values an element
    nisa.quantize_mx(dst=q, src=x, dst_scale=scale)
    ```
    """
    checks.generation(4, "quantize_mx")
    rows = mx.data_rows("src", src)
    checks.in_sbuf(("dst", dst))
    checks.dtype_in("src", src, ("float16", "bfloat16"))
    checks.dtype_in("dst", dst, tuple(_LARGEST))
    checks.writable("dst", dst)
    columns = checks.free_size(dst)
    if dst.shape[0] != rows or checks.free_size(src) != 4 * columns:
        raise ShapeError(
            "src has the partitions of dst and four elements for each of dst", f"{src.shape} for {dst.shape}",
            "Fix the shapes.",
        )  # fmt: skip
    scales = mx.scale_rows("dst_scale", dst_scale, "src", src, columns)
    checks.writable("dst_scale", dst_scale)
    largest = _LARGEST[dst.dtype] - _spare()
    element = dtype_of(str(dst.dtype).removesuffix("_x4"))

    def compute(values: Any) -> Any:
        blocks = to_float32(values).reshape(rows // mx.BLOCK, mx.BLOCK, columns, 4)
        if not np.isfinite(blocks).all():
            _refuse_infinite(src)
        data, codes = _quantize(blocks, largest, element)
        parts = np.split(codes, rows // checks.QUADRANT)
        written = [p.view(dst_scale.dtype.numpy) for p in parts]
        return (mx.pack(data.reshape(rows, columns, 4), dst.dtype.numpy), *written)

    return Operation(Engine.vector, (src,), (dst, *scales), compute, Work(checks.free_size(src)), name=name)


def _quantize(blocks: Any, largest: int, element: DType) -> tuple[Any, Any]:
    """fp8 values and scale codes of [blocks, 8, columns, 4] values."""
    peak = np.abs(blocks).max(axis=(1, 3))
    power = np.where(peak > 0, np.frexp(peak)[1] - 1 - largest, -mx.BIAS).clip(-mx.BIAS, mx.BIAS)
    factor = np.ldexp(np.float32(1), -power)
    return convert(blocks * factor[:, None, :, None], element), (power + mx.BIAS).astype(np.uint8)


def _spare() -> int:
    """How many powers of two the scale leaves free above the largest value."""
    rule = os.environ.get(RULE, "isa")
    if rule not in _SPARE:
        raise ArgumentError(f"{RULE} is isa or ocp", f"{rule!r}", "Unset it.")
    return _SPARE[rule]


def _refuse_infinite(src: NkiTensor) -> None:
    """Poison of unwritten bytes is the business of the detector that reports them."""
    if first_unwritten(resolve(src)) is None:
        raise NotSimulated("quantize_mx is documented for finite values", "NaN or infinity in src", "Clamp src first.")
