# SPDX-License-Identifier: Apache-2.0
"""The file of a packed layer: the arguments of `moe_cte`.

Experts are converted one by one straight into the mapped file: a layer of any size takes the memory of a few experts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError
from nkimoe.json_object import parse_object
from nkimoe.weights.expert import Expert
from nkimoe.weights.formats import MX_FORMATS
from nkimoe.weights.int8 import Int8, activation_arguments, exact_rows, quantises_activations
from nkimoe.weights.packing import Packing, Progress
from nkimoe.weights.safetensors_file import create_file, open_tensors, read_header

EXACT_ROWS = "exact_rows"  # a tensor beside int8 weights: of each expert, 0 where its activations stay as they are
MATRICES = ("gate_up_proj", "down_proj")
REQUIRED = frozenset(f"{matrix}_weight" for matrix in MATRICES)
ARGUMENTS = REQUIRED | {f"{matrix}_scale" for matrix in MATRICES} | {"gate_and_up_proj_bias", "down_proj_bias"}
PACK_AGAIN = "The file is damaged: pack the checkpoint again."
# Types the file format has no name for are stored as unsigned integers, and named in the file's metadata.
_CARRIERS: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(ml_dtypes.float8_e4m3): np.dtype(np.uint8),
    **{mx.packed: mx.carrier for mx in MX_FORMATS.values()},
}
_NAMES = {np.dtype(ml_dtypes.float8_e4m3): "float8_e4m3", **{mx.packed: mx.nki for mx in MX_FORMATS.values()}}
_TYPES = {name: dtype for dtype, name in _NAMES.items()}


def write_layer(path: Path, experts: Sequence[Expert], packing: Packing, progress: Progress | None = None) -> None:
    """One new file with the arguments of `moe_cte` for these experts, converted one at a time."""
    tensors: dict[str, Array] = {}
    for e, expert in enumerate(experts):
        packed = packing.pack_expert(expert)
        if isinstance(packing, Int8):
            packed[EXACT_ROWS] = _exact_rows(expert, packed)
        if not tensors:
            tensors = _create(path, packed, len(experts), {"packing": repr(packing), "H": expert.H, "I": expert.I})
        for name, part in packed.items():
            tensors[name][e] = part.view(tensors[name].dtype)
        if progress is not None:
            progress(e + 1, len(experts))
    with path.open("rb+") as file:
        os.fsync(file.fileno())  # of what was written through the map, too


def _exact_rows(expert: Expert, packed: dict[str, Array]) -> Array:
    rows = exact_rows(packed["gate_up_proj_weight"][None], packed["down_proj_weight"][None])
    return np.array(rows if quantises_activations(expert) else 0, np.int32)


def _create(path: Path, packed: dict[str, Array], E: int, facts: dict[str, Any]) -> dict[str, Array]:
    stored = {name: (_CARRIERS.get(part.dtype, part.dtype), (E, *part.shape)) for name, part in packed.items()}
    named = {name: _NAMES[part.dtype] for name, part in packed.items() if part.dtype in _NAMES}
    metadata = {name: str(value) for name, value in facts.items()}
    return create_file(path, stored, {**metadata, "dtypes": json.dumps(named)})


def read_layer(path: Path | str) -> dict[str, Any]:
    """The arguments of `moe_cte` in a file of `write_layer`, tensors as views of it.

    Raises:
        InputError: the file is not one of those.
    """
    path = Path(path)
    named, tensors = _named_types(path), open_tensors(path)
    rows = tensors.pop(EXACT_ROWS, None)
    if not REQUIRED <= tensors.keys() <= ARGUMENTS:
        raise InputError(path.name, f"holds {', '.join(sorted(REQUIRED))}", ", ".join(tensors), PACK_AGAIN)
    absent = named.keys() - tensors.keys()
    if absent:
        raise InputError(path.name, "holds the tensors whose types it names", f"no {', '.join(absent)}", PACK_AGAIN)
    views = {name: _as_named(f"{path.name}: {name}", tensor, named.get(name)) for name, tensor in tensors.items()}
    return {**views, **activation_arguments(_fewest_rows(path, rows))}


def _named_types(path: Path) -> dict[str, Any]:
    """Of tensors that are stored as unsigned integers, the types."""
    metadata = read_header(path)[0].get("__metadata__")
    if not isinstance(metadata, dict) or "dtypes" not in metadata:
        raise InputError(path.name, "is a packed layer", "no dtypes in its metadata", "Pack the checkpoint first.")
    return parse_object(str(metadata["dtypes"]).encode(), f"{path.name}: dtypes", PACK_AGAIN)


def _as_named(name: str, tensor: Array, dtype: object) -> Array:
    """A stored tensor in the type that the metadata name, if they do."""
    if dtype is None:
        return tensor
    known = _TYPES.get(dtype) if isinstance(dtype, str) else None
    if known is None or _CARRIERS[known] != tensor.dtype:
        actual = f"{dtype} in {tensor.dtype}"
        raise InputError(name, f"is one of {', '.join(_TYPES)} in unsigned integers of its size", actual, PACK_AGAIN)
    return tensor.view(known)


def _fewest_rows(path: Path, rows: Array | None) -> int | None:
    """`exact_rows` of all experts together; None where activations stay as they are."""
    if rows is None:
        return None
    if rows.dtype != np.int32 or not rows.size or rows.min() < 0:
        raise InputError(f"{path.name}: {EXACT_ROWS}", "holds int32 from 0 on", f"{rows.dtype} {rows}", PACK_AGAIN)
    return int(rows.min()) or None
