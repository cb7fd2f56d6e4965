# SPDX-License-Identifier: Apache-2.0
"""What routing operations ask of tensors, NumPy's or torch's, without importing torch."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import RequestError, require
from nkimoe.weights.host_array import host_array, is_torch


def shape_of(name: str, value: Any) -> tuple[int, ...]:
    """The shape of a tensor. Raises RequestError if it is none."""
    if not (is_torch(value) or isinstance(value, np.ndarray)):
        raise RequestError(name, "is a NumPy array or a torch tensor", type(value).__name__, "Convert it.")
    return tuple(int(n) for n in value.shape)


def dtype_of(value: Any) -> str:
    """The name of its data type, such as "bfloat16"."""
    return str(value.dtype).removeprefix("torch.")


def check_integers(name: str, ids: Any) -> None:
    """Raises RequestError unless they are int32 or int64."""
    require(dtype_of(ids) in ("int32", "int64"), name, "is int32 or int64", dtype_of(ids), "Cast it.")


def as_int32(topk_ids: Any, n_experts: int) -> Any:
    """Ids of no expert stay such, however large."""
    if dtype_of(topk_ids) == "int32":
        return topk_ids
    near = topk_ids.clip(-1, n_experts)
    return near.int() if is_torch(near) else near.astype(np.int32)


def values_of(name: str, value: Any) -> Array | None:
    """The values as a NumPy array, or None where they lie on a device."""
    if is_torch(value) and value.device.type != "cpu":
        return None
    return host_array(name, value)


def like(array: Array, given: Any) -> Any:
    """A NumPy array as what `given` is."""
    if not is_torch(given):
        return array
    import torch

    name = array.dtype.name
    if not hasattr(ml_dtypes, name):
        return torch.from_numpy(array).to(given.device)
    return torch.from_numpy(array.view(f"uint{8 * array.itemsize}")).view(getattr(torch, name)).to(given.device)


def with_stride(rows: Any, stride: int) -> Any:
    """The rows, each `stride` elements behind the one before; what lies between is 0."""
    shape = (rows.shape[0], stride)
    room = rows.new_zeros(shape) if is_torch(rows) else np.zeros(shape, rows.dtype)
    part = room[:, : rows.shape[1]]
    part[:] = rows
    return part
