# SPDX-License-Identifier: Apache-2.0
"""How the weights of a request are quantised, and whether its activations are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from nkimoe.errors import require
from nkimoe.planning.request import Request
from nkimoe.planning.scale_blocks import block_of
from nkimoe.spec import EXACT_ROWS
from nkimoe.weights.formats import MX_FORMATS

LARGEST_FP8 = {"float8_e4m3": 240.0, "float8_e4m3fn": 448.0, "float8_e5m2": 57344.0}
# Integers that hold packed MX elements where their own type does not exist.
CARRIERS = {"uint16": "float4_e2m1fn_x4", "int16": "float4_e2m1fn_x4"}
CARRIERS |= {"uint32": "float8_e4m3fn_x4", "int32": "float8_e4m3fn_x4"}
ROW, STATIC, BLOCK = "row", "static", "block"


def type_name(tensor: Any) -> str:
    """The name of a tensor's type, that of packed MX elements also on the host, where NumPy has no name for it."""
    dtype = getattr(tensor, "dtype", None)
    return next(
        (mx.nki for mx in MX_FORMATS.values() if getattr(dtype, "fields", None) and dtype == mx.packed), str(dtype)
    )


@dataclass(frozen=True, eq=False)
class Scale:
    """Dequantisation scales of one tensor.

    Attributes:
        tensor: fp32; its first dimension is the expert, or 1 for all of them.
        layout: ROW, one a column; STATIC, one a matrix; BLOCK, one for `block` rows and as many columns.
        block: 128 or 256; 0 unless the layout is BLOCK.
    """

    tensor: Any
    layout: str
    block: int = 0

    @property
    def is_shared(self) -> bool:
        """One set of scales for all experts."""
        return int(self.tensor.shape[0]) == 1


@dataclass(frozen=True, eq=False)
class Matrix:
    """One of the two weight tensors and its scales.

    Attributes:
        argument: name of the weight.
        weight: the tensor.
        scale: of the weight, or None.
        in_scale: of the activations it multiplies, [E, 1] or [1, 1]; None if they are not quantised.
    """

    argument: str
    weight: Any
    scale: Scale | None
    in_scale: Any

    @property
    def is_fp8(self) -> bool:
        return self._dtype in LARGEST_FP8

    @property
    def is_int8(self) -> bool:
        return self._dtype == "int8"

    @property
    def is_converted(self) -> bool:
        """Whether codes of one byte become numbers of the compute dtype on chip."""
        return self.is_int8 or self.block > 0

    @property
    def block(self) -> int:
        """Rows and columns that share a scale; 0 if whole columns do, or the matrix."""
        return 0 if self.scale is None else self.scale.block

    @property
    def product_scale(self) -> Scale | None:
        """What multiplies the products; scales of blocks multiply the weights instead."""
        return None if self.block else self.scale

    @property
    def is_mx(self) -> bool:
        """Whether its elements are packed, in their own type or in integers."""
        return self._dtype.endswith("_x4") or self._dtype in CARRIERS

    @property
    def _dtype(self) -> str:
        return type_name(self.weight)

    @property
    def input_dtype(self) -> str:
        """The fp8 type of quantised activations: e4m3 of the family of the weights."""
        return "float8_e4m3fn" if str(self.weight.dtype) == "float8_e4m3fn" else "float8_e4m3"

    def on_chip(self, compute_dtype: Any) -> Any:
        """The dtype of the weights as they lie in SBUF."""
        return self.weight.dtype if self.is_fp8 or self.is_int8 else compute_dtype

    def item_on_chip(self, item: int) -> int:
        """Bytes of a weight in SBUF; `item` of the compute dtype."""
        return 1 if self.is_fp8 or self.is_int8 else item


def gate_up_of(request: Request) -> Matrix:
    """The gate/up weights of a request; scales given directly win over those of quantization_config."""
    return _matrix(request, "gate_up", matrices=2)


def down_of(request: Request) -> Matrix:
    """The down weights of a request, likewise."""
    return _matrix(request, "down", matrices=1)


def _matrix(request: Request, which: str, matrices: int) -> Matrix:
    scale = scale_tensor(request, f"{which}_proj_scale")
    weight = getattr(request, f"{which}_proj_weight")
    return Matrix(
        f"{which}_proj_weight", weight, None if scale is None else _scale(scale, weight, matrices),
        getattr(request, f"{which}_in_scale"),
    )  # fmt: skip


def exact_rows(request: Request) -> int:
    """Rows of a contraction of int8 codes whose products fp32 adds without rounding, a multiple of EXACT_ROWS."""
    given = getattr(request.quantization_config, "exact_rows", None)
    return EXACT_ROWS if given is None else int(given)


def scale_tensor(request: Request, name: str) -> Any:
    """The tensor given as `name`, directly or in quantization_config, or None."""
    direct = getattr(request, name)
    return direct if direct is not None else getattr(request.quantization_config, name, None)


def _scale(tensor: Any, weight: Any, matrices: int) -> Scale:
    shape = getattr(tensor, "shape", ())
    block = block_of(shape, getattr(weight, "shape", ()))
    if block:
        return Scale(tensor, BLOCK, block)
    return Scale(tensor, STATIC if math.prod(int(n) for n in shape[1:]) == matrices else ROW)


def scale_shapes(E: int, columns: int, matrices: int) -> tuple[tuple[int, ...], ...]:
    """Accepted shapes of the scales of E weights whose rows hold `matrices` matrices, `columns` columns in all.

    >>> scale_shapes(4, 96, 1)
    ((4, 1, 96), (4, 96), (4, 1), (4,), (1, 1, 96), (1, 96), (1, 1), (1,))
    """
    static: tuple[tuple[int, ...], ...] = ((1,), ()) if matrices == 1 else ((matrices, 1), (matrices,))
    return tuple((e, *rest) for e in dict.fromkeys((E, 1)) for rest in ((1, columns), (columns,), *static))


def check_scale(name: str, scale: Any, shapes: tuple[tuple[int, ...], ...]) -> None:
    """Scales are fp32, of one of these shapes.

    Raises:
        RequestError: they are not.
    """
    require(hasattr(scale, "shape"), name, "is a tensor", type(scale).__name__, "Pass an array.")
    shape = tuple(int(n) for n in scale.shape)
    require(shape in shapes, name, f"has shape {' or '.join(map(str, shapes))}", shape, "Reshape it.")
    require(str(scale.dtype) == "float32", name, "is float32", str(scale.dtype), "Cast it.")
