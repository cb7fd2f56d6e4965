# SPDX-License-Identifier: Apache-2.0
"""Whole checkpoints packed layer by layer into a folder that appears when it is complete.

Everything is written into `NAME.partial`, which is renamed at the end: a run that is stopped leaves no folder called
NAME. The next run of the same packing keeps the layers that were finished, and any other removes them. One run at a
time writes there: it holds a lock of the folder, which the system takes back when the process ends.
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

from nkimoe.errors import RequestError
from nkimoe.weights.checkpoint import Checkpoint
from nkimoe.weights.expert import WHOLE, Shard
from nkimoe.weights.layer_packing import LayerPacking, Spread, pack_alone
from nkimoe.weights.packing import Packing, Progress

RECORD = "run.json"  # in an unfinished folder: what is being packed, and how


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
    spread: Spread | None = None,
) -> list[Path]:
    """Pack layers (all that have experts) of a checkpoint into `target`, one file each; returns the files.

    `progress(done, all)` counts experts, those that an earlier run finished included. `spread` says where layers are
    packed, all at once or some; without it one after another here.

    Raises:
        RequestError: `target` exists, a layer is not in the checkpoint, or the disk has no room for the next one.
        InputError: see `Checkpoint`.
        Whatever stops the run leaves the layers that were finished for the next one.
    """
    checkpoint, target = Checkpoint(source), Path(target)
    if target.exists():
        raise RequestError("target", "does not exist yet", str(target), "Remove it, or choose another.")
    chosen = checkpoint.layers if layers is None else list(layers)
    experts = [_complete(checkpoint, layer) for layer in chosen]  # what is missing is refused before a write
    partial = target.with_name(target.name + ".partial")
    jobs = [
        LayerPacking(checkpoint.folder, layer, count, packing, share, partial / layer_file(layer))
        for layer, count in zip(chosen, experts, strict=True)
    ]
    run = {"source": _identity(checkpoint.folder), "packing": repr(packing), "share": repr(share)}
    with _locked(partial):
        _empty_unless(partial, run)
        files = [job.file for job in jobs]
        _remove_all_but([*files, partial / RECORD], partial)  # what was half written when a run was stopped
        _pack_layers(jobs, sum(experts), progress, spread)
        _remove_all_but(files, partial)
        partial.rename(target)
    return [target / layer_file(layer) for layer in chosen]


def _complete(checkpoint: Checkpoint, layer: int) -> int:
    """How many experts a layer has; InputError unless all are there, and a router beside them."""
    n_experts = len(checkpoint.experts(layer))
    checkpoint.router(layer)
    checkpoint.close()
    return n_experts


def _pack_layers(jobs: Sequence[LayerPacking], total: int, progress: Progress | None, spread: Spread | None) -> None:
    """Write the files that are not there; `total` experts in all."""
    waiting = [job for job in jobs if not job.file.exists()]
    done = total - sum(job.experts for job in waiting)

    def count(more: int) -> None:
        if progress is not None:
            progress(done + more, total)

    if spread is None:
        for job in waiting:
            job.pack(lambda of_layer, _: count(of_layer))
            done += job.experts
        return
    for number, failure in spread(pack_alone, waiting):
        if failure is not None:
            raise failure
        done += waiting[number].experts
        count(0)


def _remove_all_but(files: Sequence[Path], partial: Path) -> None:
    for path in set(partial.iterdir()) - set(files):
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
