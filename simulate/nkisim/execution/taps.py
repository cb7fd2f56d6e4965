# SPDX-License-Identifier: Apache-2.0
"""Taps: what named tensors held, taken while the kernel runs.

A snapshot is taken when another instruction reads a tensor that was written since the last snapshot, however many
instructions wrote it, and of what is left unread when the launch ends. So a tile that a loop fills and uses comes out
once an iteration, complete.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import Location
from nkisim.memory import NkiTensor, peek
from nkisim.observe import Position

Wanted = Sequence[str] | Mapping[str, Callable[[Array], Any]]


@dataclass(frozen=True)
class Snapshot:
    """What a tensor held.

    Attributes:
        values: all of it, unwritten bytes as 0xFF; or what the tap's function made of that.
        core: the core whose tensor it is, or which read it.
        where: the kernel line that read it; the line of its allocation if nothing did.
        written: the last instruction that wrote it.
    """

    values: Any
    core: int
    where: Location
    written: Position


class Taps:
    """The snapshots of one launch, by tensor name.

    Args:
        wanted: names, `*` and `?` allowed; or names with a function of the array, whose result is kept instead.
    """

    def __init__(self, wanted: Wanted) -> None:
        functions = dict(wanted) if isinstance(wanted, Mapping) else dict.fromkeys(wanted, lambda values: values)
        self._functions: dict[str, Callable[[Array], Any]] = functions
        self.snapshots: dict[str, list[Snapshot]] = {}
        self._watched: dict[int, NkiTensor] = {}
        self._written: dict[int, tuple[int, Position]] = {}

    def watch(self, tensor: NkiTensor) -> None:
        """Take snapshots of `tensor`, the whole of an allocation, if its name is wanted."""
        if any(fnmatch.fnmatchcase(tensor.name, pattern) for pattern in self._functions):
            self._watched[tensor.storage.identity] = tensor

    def before(self, core: int, reads: Iterable[NkiTensor], writes: Iterable[NkiTensor], position: Position) -> None:
        """An instruction is about to read and write."""
        written = {t.storage.identity for t in writes}
        for identity in {t.storage.identity for t in reads} - written:
            if identity in self._written:
                self._take(identity, core, position.location)
        self._written.update(dict.fromkeys(written & self._watched.keys(), (core, position)))

    def finish(self) -> None:
        """The launch is over: what was written and never read is taken now."""
        for identity, (core, _) in list(self._written.items()):
            self._take(identity, core, self._watched[identity].storage.allocated_at)

    def _take(self, identity: int, core: int, where: Location) -> None:
        _, written = self._written.pop(identity)
        tensor = self._watched[identity]
        values = peek(tensor)
        taken = self.snapshots.setdefault(tensor.name, [])
        function = next(f for pattern, f in self._functions.items() if fnmatch.fnmatchcase(tensor.name, pattern))
        taken.append(Snapshot(function(values), core, where, written))


def save_snapshots(snapshots: Mapping[str, Sequence[Snapshot]], folder: Path) -> None:
    """Write each array to `folder/name/core_0/0000.npy` and so on, counted by core."""
    for name, taken in snapshots.items():
        for core in sorted({s.core for s in taken}):
            place = folder / name / f"core_{core}"
            place.mkdir(parents=True, exist_ok=True)
            for number, values in enumerate(s.values for s in taken if s.core == core):
                save(place / f"{number:04}.npy", np.asarray(values))


def save(path: Path, values: Array) -> None:
    """Write what a .npy file can hold: NumPy's own types; others as float32, packed elements as bytes."""
    if values.dtype.fields is not None:
        values = np.ascontiguousarray(values).view(np.uint8)
    np.save(path, values if values.dtype.isbuiltin == 1 else values.astype(np.float32))
