"""Which bytes of a memory have been written, and by what.

One code a byte. A memory that is wholly in one state, which is the common case, keeps no array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NEVER, WRITTEN, ZEROED, MATMUL = 0, 1, 2, 3
"""States of a byte: never written; written by anything but the PE; set to zero in PSUM, where a matmul may add or
overwrite with the same result; written by a matmul, so accumulable."""

Codes = np.ndarray[Any, np.dtype[np.uint8]]


class Shadow:
    """The state of every byte of `nbytes` bytes of memory."""

    def __init__(self, nbytes: int, state: int = NEVER) -> None:
        self.nbytes = nbytes
        self.uniform: int | None = state
        self.codes: Codes | None = None
        self._unwritten = nbytes if state == NEVER else 0
        self._matmuls = state > WRITTEN  # whether there ever was another state than the first two

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
        self._matmuls = state > WRITTEN

    def mark(self, view: Codes, state: int) -> None:
        """The bytes of `view`, a view of `materialize()`, get `state`."""
        self._unwritten -= view.size - int(np.count_nonzero(view))
        view[...] = state
        self._matmuls = self._matmuls or state > WRITTEN
        if self._unwritten == 0 and (view.size == self.nbytes or not self._matmuls):
            self.mark_all(state)
