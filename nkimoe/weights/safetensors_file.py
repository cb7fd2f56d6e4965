# SPDX-License-Identifier: Apache-2.0
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
from nkimoe.json_object import DOWNLOAD, check_file, parse_object
from nkimoe.weights.reserved_space import reserve

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
        InputError: it is no file of the format, or not as long as its tensors are together.
    """
    path = Path(path)
    check_file(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(LONGEST_HEADER, size - 8):
            actual = f"{size} bytes with a header of {length}"
            raise InputError(path.name, "is a safetensors file", actual, DOWNLOAD)
        header = parse_object(file.read(length), f"{path.name}: header")
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InputError(path.name, "has texts as __metadata__", metadata, DOWNLOAD)
    _check_extents(path.name, header, size - 8 - length)
    return header, 8 + length


def _check_extents(file: str, header: Mapping[str, Any], size: int) -> None:
    """Tensors follow one another without a gap from the first byte of the data to the last, as the format demands."""
    names = [name for name in header if name != "__metadata__"]
    end = 0
    for (begin, its_end), name in sorted((_extent(f"{file}: {name}", header[name], size), name) for name in names):
        if begin != end:
            raise InputError(f"{file}: {name}", f"starts where another tensor ends, at byte {end}", begin, DOWNLOAD)
        end = its_end
    if end != size:
        raise InputError(file, f"ends with its last tensor, at byte {end} of its data", f"{size} bytes", DOWNLOAD)


def _extent(name: str, entry: object, size: int) -> tuple[int, int]:
    """First byte and end of a tensor in data of `size` bytes."""
    entry = entry if isinstance(entry, dict) else {}
    shape, offsets, dtype = (entry.get(key) for key in ("shape", "data_offsets", "dtype"))
    if not (_are_sizes(shape) and isinstance(offsets, list) and len(offsets) == 2 and isinstance(dtype, str)):
        raise InputError(name, "has dtype, shape and data_offsets", entry, DOWNLOAD)
    begin, end = offsets
    known = DTYPES.get(dtype)
    n_bytes = None if known is None else math.prod(entry["shape"]) * known.itemsize
    is_inside = _are_sizes(offsets) and begin <= end <= size
    if not is_inside or n_bytes not in (None, end - begin):
        raise InputError(name, f"is {dtype} {shape} inside the file", f"bytes {begin}..{end} of {size}", DOWNLOAD)
    return begin, end


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def open_tensors(path: Path | str) -> dict[str, Array]:
    """Every tensor of the file by name, read-only views of one memory map.

    Raises:
        InputError: as `read_header`, or a tensor has a dtype that is not read.
    """
    path = Path(path)
    header, start = read_header(path)
    names = [name for name in header if name != "__metadata__"]
    data = np.memmap(path, np.uint8, "r", start) if path.stat().st_size > start else np.empty(0, np.uint8)
    return {name: _view(f"{path.name}: {name}", header[name], data) for name in names}


def _view(name: str, entry: Mapping[str, Any], data: Array) -> Array:
    (begin, end), dtype = entry["data_offsets"], DTYPES.get(entry["dtype"])
    if dtype is None:
        raise InputError(name, f"has one of the dtypes {', '.join(DTYPES)}", entry["dtype"], "Convert it.")
    return data[begin:end].view(np.ndarray).view(dtype).reshape(entry["shape"])


def create_file(
    path: Path | str, tensors: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], metadata: Mapping[str, str]
) -> dict[str, Array]:
    """A new file of that size, and its tensors as writable views of its map, to be filled in any order.

    Raises:
        KeyError: the format has no such dtype. RequestError: the disk has no room for it; the file is removed.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, (dtype, shape) in sorted(tensors.items(), key=lambda item: -item[1][0].itemsize):
        begin, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    _create(Path(path), len(text).to_bytes(8, "little") + text, end)
    data = np.memmap(path, np.uint8, "r+", 8 + len(text), (end,))
    views = {}
    for name, (dtype, shape) in tensors.items():
        begin, end = header[name]["data_offsets"]
        views[name] = data[begin:end].view(dtype).reshape(shape)
    return views


def _create(path: Path, head: bytes, size: int) -> None:
    """A file of these bytes and `size` more, all of them on the disk; none if there is no room."""
    with path.open("xb") as file:
        try:
            file.write(head)
            file.flush()
            reserve(file, path, len(head) + size)
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise
