# SPDX-License-Identifier: Apache-2.0
"""Expert ids of real tokens in files, as serving systems and hooks write them.

* `.npy`: int [T, K] of one layer; or [T, layers, K] of all, as vLLM and SGLang return `routed_experts`.
* `.npz`: an array [T, K] a layer, whose name ends in the layer's number (`layers.3`); `RoutingRecord.save` writes it.
* `.jsonl`: a line is `{"layer": 3, "experts": [[5, 1], ...]}`, [T, K]; further lines of a layer are further tokens.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError, require
from nkimoe.planning.tiling import ceil_div

SUFFIXES = (".npy", ".npz", ".jsonl")


@dataclass(frozen=True, eq=False)
class RecordedRouting:
    """What the tokens of one layer chose.

    Attributes:
        layer: its number.
        ids: int32 [T, K].
    """

    layer: int
    ids: Array

    @cached_property
    def name(self) -> str:
        """Says what it holds, not which file."""
        digest = hashlib.sha256(repr(self.ids.shape).encode() + self.ids.tobytes()).hexdigest()
        return f"recorded:layer {self.layer}:{digest[:12]}"

    def expert_ids(self, tokens: int, experts: int, top_k: int) -> Array:
        """Those of the first tokens; if more are asked for, the record begins again."""
        fix = "Record the layer that is predicted."
        require(self.ids.shape[1] == top_k, "routing", f"has {top_k} experts a token", self.ids.shape[1], fix)
        require(self.ids.max() < experts, "routing", f"has ids below {experts}", self.ids.max(), fix)
        return np.tile(self.ids, (ceil_div(tokens, len(self.ids)), 1))[:tokens]


@dataclass(frozen=True, eq=False)
class RoutingRecord:
    """Expert ids by layer.

    Attributes:
        layers: int32 [T, K] by number of the layer.
    """

    layers: Mapping[int, Array]

    def of_layer(self, layer: int | None) -> RecordedRouting:
        """One of them; None: the first.

        Raises:
            RequestError: it is not recorded.
        """
        known = sorted(self.layers)
        chosen = known[0] if layer is None else layer
        require(chosen in known, "layer", f"is recorded: {', '.join(map(str, known))}", chosen, "Choose one of these.")
        return RecordedRouting(chosen, self.layers[chosen])

    def save(self, path: str | Path) -> None:
        """Write a .npz file."""
        arrays: dict[str, Any] = {f"layers.{layer}": ids for layer, ids in self.layers.items()}
        np.savez_compressed(path, **arrays)


def read_routing(path: str | Path) -> RoutingRecord:
    """The record in a file.

    Raises:
        InputError: another suffix, or what it holds is none of the forms above. OSError: it cannot be read.
    """
    file = Path(path)
    readers = {".npy": _layers_of_npy, ".npz": _layers_of_npz, ".jsonl": _layers_of_jsonl}
    if file.suffix not in readers:
        raise InputError("routing", f"is uniform, zipf:EXPONENT or a {', '.join(SUFFIXES)} file", path, "Rename it.")
    try:
        layers = readers[file.suffix](file)
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(str(path), "is a record of expert ids", error, "See docs/planning.md for the forms.") from None
    if not layers:
        raise InputError(str(path), "holds a layer", "none", "Record one.")
    return RoutingRecord({layer: _checked(ids, f"{path}, layer {layer}") for layer, ids in layers.items()})


def _layers_of_npy(file: Path) -> dict[int, Array]:
    ids = np.load(file, allow_pickle=False)
    if ids.ndim != 3:
        return {0: ids}
    layers = enumerate(np.moveaxis(ids, 1, 0))
    return {layer: each for layer, each in layers if each.any()}  # those without experts are zeros


def _layers_of_npz(file: Path) -> dict[int, Array]:
    with np.load(file, allow_pickle=False) as arrays:
        return {_number(name): arrays[name] for name in arrays.files}


def _number(name: str) -> int:
    found = re.search(r"(\d+)$", name)
    if found is None:
        raise ValueError(f"the array {name!r} has no number of a layer at its end")
    return int(found[1])


def _layers_of_jsonl(file: Path) -> dict[int, Array]:
    parts: dict[int, list[Array]] = defaultdict(list)
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip():
            entry = json.loads(line)
            parts[int(entry["layer"])].append(np.array(entry["experts"]))
    return {layer: np.concatenate(each) for layer, each in parts.items()}


def _checked(ids: Array, place: str) -> Array:
    """int32, each row without repetition.

    Raises:
        InputError: no integers [T, K] from 0 on, or an expert twice for a token.
    """
    is_table = ids.ndim == 2 and ids.size > 0 and np.issubdtype(ids.dtype, np.integer)
    if not is_table:
        raise InputError(place, "is integers [T, K]", f"{ids.dtype} {list(ids.shape)}", "Record ids of experts.")
    if ids.min() < 0:
        raise InputError(place, "has ids from 0 on", ids.min(), "Leave out tokens that were not routed.")
    in_order = np.sort(ids, axis=1)
    repeated = np.flatnonzero((in_order[:, 1:] == in_order[:, :-1]).any(axis=1))
    if repeated.size:
        fix = "Record what its router chose."
        raise InputError(place, "lists an expert once a token", f"one twice in row {repeated[0]}", fix)
    return ids.astype(np.int32)
