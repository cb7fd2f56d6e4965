"""Which bytes of a memory have been written, and by what.

One code a byte. A memory that is wholly in one state, which is the common case, keeps no array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NEVER, WRITTEN, NOT_COMPUTED, ZEROED, MATMUL = 0, 1, 2, 3, 4
"""States of a byte: never written; written by anything but the PE; the same, but the value was not computed; set to
zero in PSUM, where a matmul may add or overwrite with the same result; written by a matmul, so accumulable."""

Codes = np.ndarray[Any, np.dtype[np.uint8]]


class Shadow:
    """The state of every byte of `nbytes` bytes of memory.

    Attributes:
        uniform: the state of all bytes, where it is kept like that; codes: else, the state of each.
        is_complete: whether every byte has been written.
    """

    def __init__(self, nbytes: int, state: int = NEVER) -> None:
        self.nbytes = nbytes
        self.uniform: int | None = state
        self.codes: Codes | None = None
        self._unwritten = nbytes if state == NEVER else 0
        self.is_complete = state != NEVER
        self._states = 1 << state  # one bit for each state that a byte may have

    @property
    def highest(self) -> int:
        """A bound of the states of all bytes."""
        return self._states.bit_length() - 1

    def materialize(self) -> Codes:
        """The codes as an array that may be viewed and, through `mark`, changed."""
        if self.codes is None:
            assert self.uniform is not None
            self.codes = np.full(self.nbytes, self.uniform, np.uint8)
            self.uniform = None
        return self.codes

    def mark_all(self, state: int) -> None:
        """Every byte gets `state`."""
        self.uniform, self.codes, self._unwritten = state, None, 0 if state != NEVER else self.nbytes
        self.is_complete, self._states = state != NEVER, 1 << state

    def mark(self, view: Codes, state: int, rows: Codes | None = None) -> None:
        """The bytes of `view`, a view of `materialize()`, or of some of its rows, get `state`."""
        if not self.is_complete:
            touched = view if rows is None else view[np.unique(rows)]
            self._unwritten -= touched.size - int(np.count_nonzero(touched))
            self.is_complete = self._unwritten == 0
        view[... if rows is None else rows] = state
        self._states |= 1 << state
        whole = rows is None and view.size == self.nbytes
        if self.is_complete and (whole or self._states & ~1 == 1 << state):
            self.mark_all(state)
