# SPDX-License-Identifier: Apache-2.0
"""The table of NKI data types.

An NKI dtype is a string in the published API (`nl.bfloat16 == "bfloat16"`); `DType` is that string with
the facts the simulator needs attached.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np


class DType(str):
    """An NKI data type.

    Attributes:
        numpy: how elements are stored on the host, always a real NumPy or ml_dtypes type.
        kind: "float", "int", "uint", "bool", "scale" (e8m0) or "packed" (four MX values an element).
        itemsize: bytes an element.
    """

    numpy: np.dtype[Any]
    kind: str
    itemsize: int
    is_integer: bool

    def __new__(cls, name: str, numpy: Any, kind: str) -> DType:
        self = super().__new__(cls, name)
        self.numpy = np.dtype(numpy)
        self.kind = kind
        self.itemsize = self.numpy.itemsize
        self.is_integer = kind in ("int", "uint")
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return dtype_of, (str(self),)


def _packed(element: Any, nbytes: int) -> np.dtype[Any]:
    """Four MX values in one element, addressed only as a whole outside the MX instructions."""
    return np.dtype([("x4", element, (nbytes,))])


DTYPES: dict[str, DType] = {
    str(d): d
    for d in (
        DType("bool", np.bool_, "bool"),
        DType("int8", np.int8, "int"),
        DType("int16", np.int16, "int"),
        DType("int32", np.int32, "int"),
        DType("uint8", np.uint8, "uint"),
        DType("uint16", np.uint16, "uint"),
        DType("uint32", np.uint32, "uint"),
        DType("float16", np.float16, "float"),
        DType("float32", np.float32, "float"),
        DType("bfloat16", ml_dtypes.bfloat16, "float"),
        DType("tfloat32", np.float32, "float"),
        DType("float8_e4m3", ml_dtypes.float8_e4m3, "float"),
        DType("float8_e4m3fn", ml_dtypes.float8_e4m3fn, "float"),
        DType("float8_e5m2", ml_dtypes.float8_e5m2, "float"),
        DType("float8_e8m0fnu", ml_dtypes.float8_e8m0fnu, "scale"),
        DType("float8_e4m3fn_x4", _packed(ml_dtypes.float8_e4m3fn, 4), "packed"),
        DType("float8_e5m2_x4", _packed(ml_dtypes.float8_e5m2, 4), "packed"),
        DType("float4_e2m1fn_x4", _packed(np.uint8, 2), "packed"),
    )
}

_BY_NUMPY: dict[np.dtype[Any], DType] = {d.numpy: d for d in DTYPES.values() if d != "tfloat32"}


def dtype_of(value: Any) -> DType:
    """The NKI dtype named by a string, an NKI dtype, or a NumPy / ml_dtypes type.

    Raises:
        TypeError: NKI has no such type (float64 and int64 tensors, for example).
    """
    if isinstance(value, DType):
        return value
    if isinstance(value, str) and value in DTYPES:
        return DTYPES[value]
    try:
        return _BY_NUMPY[np.dtype(value)]
    except (KeyError, TypeError):
        raise TypeError(f"NKI has no data type {value!r}; it has {', '.join(DTYPES)}") from None
