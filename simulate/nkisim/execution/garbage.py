# SPDX-License-Identifier: Apache-2.0
"""Python's search for garbage in circles, while kernels are traced."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TIMES = 100
_lock = threading.Lock()
_found: list[tuple[int, int, int]] = []
"""The thresholds that each of the launches under way found; the first ones are those of the caller."""


@contextmanager
def rarely_collected() -> Iterator[None]:
    """The search comes a hundred times more rarely inside: what a trace makes is kept, and each search goes through it.

    It is not switched off: kernels may make circles of tensors, with their memory. Where it is off, it stays off.
    """
    with _lock:
        _found.append(gc.get_threshold())
        gc.set_threshold(_found[0][0] * _TIMES, *_found[0][1:])
    try:
        yield
    finally:
        with _lock:
            first = _found[0]
            _found.pop()
            if not _found:
                gc.set_threshold(*first)
