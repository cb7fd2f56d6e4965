# SPDX-License-Identifier: Apache-2.0
"""One layer of a checkpoint to pack, as a value that another process, or machine, can be handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

from nkimoe.errors import RequestError
from nkimoe.weights.checkpoint import Checkpoint
from nkimoe.weights.expert import Shard
from nkimoe.weights.packed_files import write_layer
from nkimoe.weights.packing import Packing, Progress

Failure: TypeAlias = RequestError | OSError
Calls: TypeAlias = Callable[["LayerPacking"], Failure | None]
Spread: TypeAlias = Callable[[Calls, Sequence["LayerPacking"]], Iterable[tuple[int, Failure | None]]]
"""Makes the calls somewhere, those that were lost again; gives each one's number and result, in any order."""


@dataclass(frozen=True)
class LayerPacking:
    """What to pack, and where to.

    Attributes:
        checkpoint, file: on a file system that all have who pack.
        experts: of the layer.
    """

    checkpoint: Path
    layer: int
    experts: int
    packing: Packing
    share: Shard
    file: Path

    def pack(self, progress: Progress | None = None) -> None:
        """Write the file, under another name until it is complete: a name of its own, since a worker that was given up
        may still be writing.

        Raises:
            RequestError: the disk has no room, or see `Checkpoint`.
        """
        checkpoint = Checkpoint(self.checkpoint)
        unfinished = self.file.with_suffix(f".{uuid4().hex}")
        write_layer(unfinished, checkpoint.experts(self.layer, self.share), self.packing, progress)
        unfinished.rename(self.file)
        checkpoint.close()  # pages of a file that was read stay in memory as long as it is mapped


def pack_alone(job: LayerPacking) -> Failure | None:
    """Pack; an error of the request or the disk is the result."""
    try:
        job.pack()
    except (RequestError, OSError) as failure:
        return failure
    return None
