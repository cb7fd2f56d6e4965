# SPDX-License-Identifier: Apache-2.0
"""Which line of a kernel wrote an element of its result last."""

from __future__ import annotations

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import Location
from nkisim.memory import Access, NkiTensor, Storage
from nkisim.observe import Event, Finding, Observer


class Writers(Observer):
    """Keeps for each byte of HBM where an element starts the instruction that wrote it last."""

    def __init__(self) -> None:
        self._lines: list[Location] = []
        self._last: dict[int, Array] = {}
        self._stored: dict[int, Storage] = {}

    def on_instruction(self, event: Event) -> list[Finding]:
        for access in event.writes:
            if access.storage.buffer.is_hbm and access.size:
                self._lines.append(event.location)
                self._paint(access, len(self._lines))
        return []

    def _paint(self, access: Access, number: int) -> None:
        storage = access.storage
        self._stored[storage.identity] = storage
        last = self._last.setdefault(storage.identity, np.zeros(storage.nbytes, np.int32))
        strides = tuple(4 * stride for stride in access.strides)
        if access.rows is None:
            np.ndarray(access.shape, np.int32, last.data, 4 * access.start, strides)[...] = number
        elif access.rows.size:
            shape = (int(access.rows.max()) + 1, *access.shape[1:])
            np.ndarray(shape, np.int32, last.data, 4 * access.start, strides)[access.rows] = number

    def is_whole(self, tensor: NkiTensor) -> bool:
        """Whether instructions wrote every element of a tensor in HBM."""
        last = self._last.get(tensor.storage.identity)
        if last is None:
            return False
        start = 4 * tensor.offset * tensor.dtype.itemsize
        strides = tuple(4 * stride * tensor.dtype.itemsize for stride in tensor.strides)
        return bool(np.ndarray(tensor.shape, np.int32, last.data, start, strides).all())

    def first_unwritten(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The first element that no instruction wrote of a tensor allocated in HBM with a shape.

        The first of all if no such tensor was written to, None if they are whole.
        """
        alike = [storage for storage in self._stored.values() if storage.shape == shape]
        for storage in alike:
            missing = np.argwhere(self._last[storage.identity][:: storage.dtype.itemsize].reshape(shape) == 0)
            if missing.size:
                return tuple(int(i) for i in missing[0])
        return None if alike else (0,) * len(shape)

    def of(self, tensor: NkiTensor, index: tuple[int, ...]) -> Location | None:
        """The line that wrote an element of a tensor in HBM last; None if no instruction did."""
        last = self._last.get(tensor.storage.identity)
        place = tensor.offset + sum(i * stride for i, stride in zip(index, tensor.strides, strict=True))
        number = 0 if last is None else int(last[place * tensor.dtype.itemsize])
        return self._lines[number - 1] if number else None
