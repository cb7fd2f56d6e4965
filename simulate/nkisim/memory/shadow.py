# SPDX-License-Identifier: Apache-2.0
"""Which bytes of a memory have been written, and by what.

A memory that is wholly in one state, which is the common case, keeps no map.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.memory.access import Access
from nkisim.memory.byte_map import ByteMap

NEVER, WRITTEN, NOT_COMPUTED, ZEROED, MATMUL = 0, 1, 2, 3, 4
"""States of a byte: never written; written by anything but the PE; the same, but the value was not computed; set to
zero in PSUM, where a matmul may add or overwrite with the same result; written by a matmul, so accumulable."""

Codes = np.ndarray[Any, np.dtype[np.uint8]]


class Shadow:
    """The state of every byte of `nbytes` bytes of memory.

    Attributes:
        uniform: the state of all bytes, where it is kept like that; None where each has its own.
        is_complete: whether every byte has been written.
    """

    def __init__(self, nbytes: int, state: int = NEVER) -> None:
        self.nbytes = nbytes
        self.mark_all(state)

    @property
    def highest(self) -> int:
        """A bound of the states of all bytes."""
        return self._states.bit_length() - 1

    def is_unwritten(self, access: Access) -> bool:
        """Whether `access` has bytes that were never written."""
        return not self.is_complete and self._map.count_zeros(access) > 0

    def states(self, access: Access) -> Codes:
        """The states of the bytes of `access`, of neighbours in one state perhaps only once."""
        return self._map.get(access)

    def by_byte(self) -> Codes:
        """A copy of the states of all bytes."""
        return self._map.by_byte()

    def mark_all(self, state: int) -> None:
        """Every byte gets `state`."""
        self.uniform: int | None = state
        self._map = ByteMap(self.nbytes, np.uint8, state)
        self._unwritten = self.nbytes if state == NEVER else 0  # at least so many bytes: exactly, once counted
        self._is_counted = False
        self.is_complete, self._states = state != NEVER, 1 << state  # one bit for each state that a byte may have

    def mark(self, access: Access, state: int) -> None:
        """The bytes of `access` get `state`: a pattern that has no byte twice, but a scatter may have a row twice."""
        if self.uniform == state:
            return
        whole = access.rows is None and access.nbytes == self.nbytes and 0 not in access.strides
        if not whole:
            self.uniform = None
            if self.is_complete:
                self._map.put(access, state)
            else:
                self._complete(access, state)
            self._states |= 1 << state
        if whole or (self.is_complete and self._states & ~1 == 1 << state):
            self.mark_all(state)

    def _complete(self, access: Access, state: int) -> None:
        """Mark bytes of a memory that was not written wholly. What is left is counted when it may be nothing."""
        if self._is_counted:
            self._unwritten -= self._map.count_zeros(access)
            self._map.put(access, state)
        else:
            self._map.put(access, state)
            self._unwritten -= access.nbytes
            if self._unwritten <= 0:
                self._unwritten, self._is_counted = self._map.zeros(), True
        self.is_complete = self._unwritten == 0
