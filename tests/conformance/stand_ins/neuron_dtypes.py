"""The data type functions the tests of nki-library call, over nkisim's table of types."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from nkisim.dtypes import DTYPES, convert, dtype_of

Array = np.ndarray[Any, np.dtype[Any]]

bfloat16 = np.dtype(ml_dtypes.bfloat16)
float8_e4m3 = np.dtype(ml_dtypes.float8_e4m3)
float8_e4m3fn = np.dtype(ml_dtypes.float8_e4m3fn)
float8_e5m2 = np.dtype(ml_dtypes.float8_e5m2)
float8_e4m3fn_x4 = DTYPES["float8_e4m3fn_x4"]  # names: kernels compare them with those of nki.language
float8_e5m2_x4 = DTYPES["float8_e5m2_x4"]
float4_e2m1fn_x4 = DTYPES["float4_e2m1fn_x4"]

_FP4_X4 = float4_e2m1fn_x4.numpy
_FP4 = np.dtype(ml_dtypes.float4_e2m1fn)


def _host_type(dtype: Any) -> np.dtype[Any]:
    if isinstance(dtype, str) and dtype in DTYPES:
        return DTYPES[str(dtype)].numpy
    return np.dtype(dtype)


def is_float_type(dtype: Any) -> bool:
    """Whether `dtype` is any floating-point type, fp8 and bfloat16 included."""
    host = _host_type(dtype)
    return host.kind == "f" or host.name.startswith(("bfloat", "float"))


def sizeinbytes(dtype: Any) -> int:
    """Bytes one element takes."""
    return _host_type(dtype).itemsize


def finfo(dtype: Any) -> Any:
    """Limits of a floating-point type. Packed types have no limits, only a `dtype`."""
    host = _host_type(dtype)
    return ml_dtypes.finfo(host) if host.names is None else _PackedInfo(host)


class _PackedInfo:
    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype


def static_cast(values: Any, dtype: Any) -> Array:
    """`values` rounded and saturated to `dtype`; a packed type holds four values of the last axis an element."""
    array, host = np.asarray(values), _host_type(dtype)
    if array.dtype.names is not None:
        array = unpack(array)
    if host.names is not None:
        return pack(array.astype(np.float32), host)
    try:
        target = dtype_of(host)
    except TypeError:
        return array.astype(host)
    return convert(array, target)


def unpack(packed: Array) -> Array:
    """Packed elements as float32, the last axis four times as long."""
    raw = np.ascontiguousarray(packed)
    if raw.dtype == _FP4_X4:
        pairs = raw.view(np.uint8).reshape(*raw.shape, 2)
        nibbles = np.stack([pairs & 0xF, pairs >> 4], axis=-1)
        values = nibbles.astype(np.uint8).view(_FP4)
    else:
        values = raw.view(raw.dtype["x4"].base).reshape(*raw.shape, 4)
    return values.astype(np.float32).reshape(*packed.shape[:-1], packed.shape[-1] * 4)


def pack(values: Array, packed: np.dtype[Any]) -> Array:
    """float32 values as packed elements, the last axis a quarter as long."""
    shape = (*values.shape[:-1], values.shape[-1] // 4)
    if packed == _FP4_X4:
        nibbles = np.clip(values, -6, 6).astype(_FP4).view(np.uint8).reshape(*shape, 2, 2)
        raw = nibbles[..., 0] | (nibbles[..., 1] << 4)
    else:
        raw = convert(values, dtype_of(packed["x4"].base)).view(np.uint8)
    return np.ascontiguousarray(raw).reshape(*shape[:-1], -1).view(packed).reshape(shape)
