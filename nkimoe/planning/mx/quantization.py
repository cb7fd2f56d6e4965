# SPDX-License-Identifier: Apache-2.0
"""How the MX weights of a request are scaled: in blocks, or a column or matrix at a time with block scales of 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nkimoe.planning.quantization import CARRIERS, ROW, STATIC, Matrix, Scale, scale_tensor, type_name
from nkimoe.planning.request import Request
from nkimoe.spec import QuantizationType

MX_DTYPES = ("float4_e2m1fn_x4", "float8_e4m3fn_x4", "float8_e5m2_x4")
PACKED_BYTES = {"float4_e2m1fn_x4": 2, "float8_e4m3fn_x4": 4, "float8_e5m2_x4": 4}
BLOCK_SCALE_DTYPES = ("uint8", "float8_e8m0fnu")
COARSE = 1 / 32  # bytes of scales of 128 x 128 weights beside each packed element, before they are spread
LAYOUTS = {QuantizationType.STATIC_MX: STATIC, QuantizationType.ROW_MX: ROW}


@dataclass(frozen=True, eq=False)
class MxMatrix(Matrix):
    """One of the two MX weight tensors and its scales.

    Attributes:
        dtype: of the packed elements.
        blocks: scales of blocks of 32, e8m0; None if all are 1 and `scale` multiplies the results.
        is_packed: four tiles of `blocks` share their partitions.
        is_coarse: `blocks` has one for 32 packed rows and 128 columns.
    """

    dtype: str
    blocks: Any
    is_packed: bool
    is_coarse: bool

    @property
    def bytes_on_chip(self) -> float:
        """Of a packed element, with its block scale as it lies in SBUF."""
        if self.blocks is None:
            return PACKED_BYTES[self.dtype]
        return PACKED_BYTES[self.dtype] + (0.25 if self.is_packed else 1) + (COARSE if self.is_coarse else 0)


def mx_gate_up_of(request: Request) -> MxMatrix:
    """The gate/up weights of a request."""
    return _matrix(request, "gate_up")


def mx_down_of(request: Request) -> MxMatrix:
    """The down weights of a request."""
    return _matrix(request, "down")


def packed_dtype(request: Request, which: str) -> str:
    """The packed type of a weight: its own, `weight_dtype`, or the usual one of its carrier."""
    own, given = type_name(getattr(request, f"{which}_proj_weight")), request.mx_options.weight_dtype
    return str(given) if own in CARRIERS and given is not None else CARRIERS.get(own, own)


def _matrix(request: Request, which: str) -> MxMatrix:
    argument, options = f"{which}_proj_weight", request.mx_options
    tensor, layout = scale_tensor(request, f"{which}_proj_scale"), LAYOUTS.get(options.quantization_type)
    return MxMatrix(
        argument, getattr(request, argument), None if layout is None else Scale(tensor, layout),
        getattr(request, f"{which}_in_scale"), packed_dtype(request, which),
        tensor if layout is None else None, options.use_packed_scales,
        options.use_block128_scales,
    )  # fmt: skip
