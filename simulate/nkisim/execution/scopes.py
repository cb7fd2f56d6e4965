# SPDX-License-Identifier: Apache-2.0
"""Tensors made in the bodies of device loops, and when nothing can mean them any more."""

from __future__ import annotations

from bisect import bisect_right


class Scopes:
    """Ages of the tensors whose iteration is over. A trace sees a body once, so nothing outside can name them.

    The intervals are disjoint and in order: what ends includes all that ended within it.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def end(self, since: int, until: int) -> None:
        """An iteration of a loop is over: tensors of an age from `since` on, and below `until`, were of its body."""
        while self._starts and self._starts[-1] >= since:
            self._starts.pop()
            self._ends.pop()
        self._starts.append(since)
        self._ends.append(until)

    @property
    def any_over(self) -> bool:
        """Whether any iteration has ended: most kernels have no device loop."""
        return bool(self._starts)

    def is_over(self, age: int) -> bool:
        """Whether a tensor of this age belonged to an iteration that has ended."""
        at = bisect_right(self._starts, age) - 1
        return at >= 0 and age < self._ends[at]
