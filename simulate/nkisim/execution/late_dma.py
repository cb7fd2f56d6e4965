# SPDX-License-Identifier: Apache-2.0
"""DMA transfers that complete as late as their tracked dependents allow.

An earlier, eager run of the same kernel has told each transfer's deadline. Here every transfer is carried out as
always, so that it reads what it would read; then the bytes it wrote are put back to what they were, and written again
when the instruction before its deadline is done. Whatever looks at them meanwhile looks too early.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from nkisim.dtypes import Array
from nkisim.memory import WRITTEN, NkiTensor, Region, Storage, read, write
from nkisim.memory.block import MemoryBlock
from nkisim.memory.shadow import Shadow
from nkisim.observe import Event
from nkisim.observe.dma_deadlines import Deadline, can_be_late

_POISON = 0xFF


class LateTransfer(NamedTuple):
    """A transfer whose result is not visible yet."""

    core: int
    before: int
    region: Region
    values: Array


class LateDma:
    """Holds back the results of transfers in one launch.

    Each memory whose bytes can be seen too early has a twin, which is what a reader would find there now.
    """

    def __init__(self, deadlines: Mapping[tuple[int, int], Deadline]) -> None:
        self._deadlines = deadlines
        self._waiting: list[LateTransfer] = []
        self._arguments: dict[int, MemoryBlock] = {}
        self._twins: dict[int, MemoryBlock] = {}

    def begin(self, arguments: Any) -> None:
        """Remember the memory of the kernel's arguments."""
        for tensor in _tensors(arguments):
            self._arguments[tensor.storage.identity] = tensor.block
            self._twins[id(tensor.block)] = _twin(tensor.block, tensor.block.data.copy())

    def after(self, event: Event, position: int, memory_of: Callable[[Storage], MemoryBlock | None]) -> None:
        """Take back what `event` wrote if it is late, and complete what the next instruction waits for.

        Args:
            position: of the next instruction in the program of the event's core.
            memory_of: the bytes of a tensor that its core, or both, allocated; None for the kernel's arguments.
        """
        deadline = self._deadlines.get((event.core, event.index))
        late = deadline is not None and deadline.before > position and deadline.location == event.location
        for access in event.writes:
            if can_be_late(access.storage):
                region = Region(access, memory_of(access.storage) or self._arguments[access.storage.identity])
                values = read(region).copy()
                if late and deadline is not None:
                    write(region, read(self._seen(region)))
                    self._waiting.append(LateTransfer(event.core, deadline.before, region, values))
                else:
                    write(self._seen(region), values)
        self._complete([t for t in self._waiting if t.core == event.core and t.before <= position])

    def finish(self) -> None:
        """The launch is over: everything arrives."""
        self._complete(list(self._waiting))

    def _complete(self, transfers: list[LateTransfer]) -> None:
        for transfer in transfers:
            self._waiting.remove(transfer)
            write(transfer.region, transfer.values)
            write(self._seen(transfer.region), transfer.values)

    def _seen(self, region: Region) -> Region:
        """The same bytes in the twin."""
        block = region.block
        if id(block) not in self._twins:
            self._twins[id(block)] = _twin(block, np.full(block.data.size, _POISON, np.uint8))
        return Region(region.access, self._twins[id(block)])


def _twin(block: MemoryBlock, data: Array) -> MemoryBlock:
    return MemoryBlock(data, block.pitch, Shadow(data.size, WRITTEN))


def _tensors(value: Any) -> Iterator[NkiTensor]:
    """Every tensor inside the containers that arguments may be."""
    if isinstance(value, NkiTensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _tensors([getattr(value, f.name) for f in dataclasses.fields(value)])
