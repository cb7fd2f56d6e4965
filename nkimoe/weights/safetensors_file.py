"""Safetensors files through a memory map: nothing is read before it is used.

The format is eight bytes of header length, a JSON header, then the tensors. Reading it here takes bf16 and fp8 without
torch, and writing it tensor by tensor bounds the memory, which the `safetensors` package's own writer does not.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError

LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
ALIGNMENT = 8
DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(dtype)
    for name, dtype in {
        "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
        "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "F32": np.float32, "F64": np.float64,
        "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
        "F8_E8M0": ml_dtypes.float8_e8m0fnu,
    }.items()
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def read_header(path: Path | str) -> tuple[dict[str, Any], int]:
    """The JSON header and where the data starts.

    Raises:
        InputError: the file is not in the format, or shorter than it says.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(LONGEST_HEADER, size - 8):
            actual = f"{size} bytes with a header of {length}"
            raise InputError(path.name, "is a safetensors file", actual, "Download it again.")
        try:
            header = json.loads(file.read(length))
        except ValueError as problem:
            raise InputError(path.name, "has a JSON header", f"{problem}", "Download it again.") from None
    if not isinstance(header, dict):
        raise InputError(path.name, "has a JSON object as header", type(header).__name__, "Download it again.")
    return header, 8 + length


def open_tensors(path: Path | str) -> dict[str, Array]:
    """Every tensor of the file by name, read-only views of one memory map.

    Raises:
        InputError: the file is not in the format, or a tensor lies outside of it.
    """
    path = Path(path)
    header, start = read_header(path)
    names = [name for name in header if name != "__metadata__"]
    data = np.memmap(path, np.uint8, "r", start) if path.stat().st_size > start else np.empty(0, np.uint8)
    return {name: _view(f"{path.name}: {name}", header[name], data) for name in names}


def _view(name: str, entry: Mapping[str, Any], data: Array) -> Array:
    try:
        shape, (begin, end), dtype = tuple(entry["shape"]), entry["data_offsets"], DTYPES.get(entry["dtype"])
    except (KeyError, TypeError, ValueError):
        raise InputError(name, "has dtype, shape and data_offsets", entry, "Download the file again.") from None
    if dtype is None:
        raise InputError(name, f"has one of the dtypes {', '.join(DTYPES)}", entry["dtype"], "Convert it.")
    if not 0 <= begin <= end <= data.size or end - begin != math.prod(shape) * dtype.itemsize:
        actual = f"bytes {begin}..{end} of {data.size}"
        raise InputError(name, f"is {dtype} {shape} inside the file", actual, "Download the file again.")
    return data[begin:end].view(np.ndarray).view(dtype).reshape(shape)


def create_file(
    path: Path | str, tensors: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], metadata: Mapping[str, str]
) -> dict[str, Array]:
    """A new file of that size, and its tensors as writable views of its map, to be filled in any order.

    Raises:
        KeyError: the format has no such dtype.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, (dtype, shape) in sorted(tensors.items(), key=lambda item: -item[1][0].itemsize):
        begin, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with Path(path).open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
        os.fsync(file.fileno())
    data = np.memmap(path, np.uint8, "r+", 8 + len(text), (end,))
    views = {}
    for name, (dtype, shape) in tensors.items():
        begin, end = header[name]["data_offsets"]
        views[name] = data[begin:end].view(dtype).reshape(shape)
    return views
