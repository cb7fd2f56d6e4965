# SPDX-License-Identifier: Apache-2.0
"""Whole checkpoints packed layer by layer, expert by expert, into a folder that appears when it is complete.

The converted experts go straight into the mapped file, so a checkpoint of any size takes the memory of a few
experts. Everything is written into `NAME.partial`, which is renamed at the end: a run that is stopped leaves no
folder called NAME. The next run of the same packing keeps the layers that were finished, and any other removes them.
One run at a time writes there: it holds a lock of the folder, which the system takes back when the process ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError, RequestError
from nkimoe.json_object import parse_object
from nkimoe.weights.checkpoint import Checkpoint
from nkimoe.weights.expert import WHOLE, Expert, Shard
from nkimoe.weights.formats import MX_FORMATS
from nkimoe.weights.int8 import Int8, activation_arguments, exact_rows, quantises_activations
from nkimoe.weights.packing import Packing, Progress
from nkimoe.weights.safetensors_file import create_file, open_tensors, read_header

EXACT_ROWS = "exact_rows"  # a tensor beside int8 weights: of each expert, 0 where its activations stay as they are
MATRICES = ("gate_up_proj", "down_proj")
REQUIRED = frozenset(f"{matrix}_weight" for matrix in MATRICES)
ARGUMENTS = REQUIRED | {f"{matrix}_scale" for matrix in MATRICES} | {"gate_and_up_proj_bias", "down_proj_bias"}
PACK_AGAIN = "The file is damaged: pack the checkpoint again."
RECORD = "run.json"  # in an unfinished folder: what is being packed, and how
# Types the file format has no name for are stored as unsigned integers, and named in the file's metadata.
_CARRIERS: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(ml_dtypes.float8_e4m3): np.dtype(np.uint8),
    **{mx.packed: mx.carrier for mx in MX_FORMATS.values()},
}
_NAMES = {np.dtype(ml_dtypes.float8_e4m3): "float8_e4m3", **{mx.packed: mx.nki for mx in MX_FORMATS.values()}}
_TYPES = {name: dtype for dtype, name in _NAMES.items()}


def layer_file(layer: int) -> str:
    """The file of a packed layer."""
    return f"layer-{layer:05d}.safetensors"


def is_packed(folder: Path) -> bool:
    """Whether a folder holds packed layers."""
    return any(folder.glob("layer-*.safetensors")) and not (folder / "config.json").exists()


def pack_checkpoint(
    source: Path | str,
    target: Path | str,
    packing: Packing,
    share: Shard = WHOLE,
    layers: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Pack layers (all that have experts) of a checkpoint into `target`, one file each; returns the files.

    `progress(done, all)` counts experts, those that an earlier run finished included.

    Raises:
        RequestError: `target` exists, a layer is not in the checkpoint, or the disk has no room for the next one.
        InputError: see `Checkpoint`.
        Whatever stops the run leaves the layers that were finished for the next one.
    """
    checkpoint, target = Checkpoint(source), Path(target)
    if target.exists():
        raise RequestError("target", "does not exist yet", str(target), "Remove it, or choose another.")
    chosen = checkpoint.layers if layers is None else list(layers)
    total = sum(_complete(checkpoint, layer) for layer in chosen)  # what is missing is refused before a write
    partial = target.with_name(target.name + ".partial")
    run = {"source": _identity(checkpoint.folder), "packing": repr(packing), "share": repr(share)}
    with _locked(partial):
        _empty_unless(partial, run)
        _pack_layers(checkpoint, chosen, partial, packing, share, total, progress)
        partial.rename(target)
    return [target / layer_file(layer) for layer in chosen]


def _complete(checkpoint: Checkpoint, layer: int) -> int:
    """How many experts a layer has; InputError unless all are there, and a router beside them."""
    n_experts = len(checkpoint.experts(layer))
    checkpoint.router(layer)
    checkpoint.close()
    return n_experts


def _pack_layers(
    checkpoint: Checkpoint, layers: Sequence[int], partial: Path, packing: Packing, share: Shard, total: int,
    progress: Progress | None,
) -> None:  # fmt: skip
    """Write the files of layers that are not there, and remove all others; `total` experts in all."""
    done = 0

    def one_more(of_layer: int, _: int) -> None:
        if progress is not None:
            progress(done + of_layer, total)

    for layer in layers:
        experts, file = checkpoint.experts(layer, share), partial / layer_file(layer)
        if not file.exists():
            unfinished = file.with_suffix(".unfinished")
            unfinished.unlink(missing_ok=True)
            write_layer(unfinished, experts, packing, one_more)
            unfinished.rename(file)
        done += len(experts)
        del experts
        checkpoint.close()  # pages of a file that was read stay in memory as long as it is mapped
    for path in partial.iterdir():
        if path.name not in map(layer_file, layers):
            path.unlink()


@contextmanager
def _locked(partial: Path) -> Iterator[None]:
    """The folder of an unfinished run, made if need be, for this run alone.

    Raises:
        RequestError: another run writes there.
    """
    partial.mkdir(parents=True, exist_ok=True)
    folder = os.open(partial, os.O_RDONLY)
    try:
        if not _lock(folder, partial):
            fix = "Wait for it, stop it, or choose another folder."
            raise RequestError("target", "is written by one run at a time", f"another run in {partial}", fix)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, partial: Path) -> bool:
    """Whether this run has the folder now; not if another has it, or has just finished and renamed it."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return partial.exists() and os.path.samestat(os.fstat(folder), partial.stat())


def _empty_unless(partial: Path, run: dict[str, Any]) -> None:
    """What an unfinished run left stays only if that would have written the same."""
    record = partial / RECORD
    if _recorded(record) != run:
        for path in partial.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        record.write_text(json.dumps(run), "utf-8")


def _recorded(record: Path) -> object:
    """What a run noted; None if it was stopped before it had."""
    try:
        return json.loads(record.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _identity(folder: Path) -> list[list[Any]]:
    """Names, sizes and times of the files of a checkpoint."""
    stats = [(path.resolve(), path.stat()) for path in sorted(folder.glob("*.safetensors"))]
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


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
