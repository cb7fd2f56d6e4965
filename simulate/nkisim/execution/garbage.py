# SPDX-License-Identifier: Apache-2.0
"""Python's search for garbage in circles, while kernels are traced."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = 70_000
"""New objects between two searches of the youngest: a hundred times what Python starts with."""


@contextmanager
def rarely_collected() -> Iterator[None]:
    """The search comes more rarely inside: what a trace makes is kept, and each search goes through it.

    It is not switched off: kernels may make circles of tensors, with their memory. Where it is off, it stays off. Of
    launches at a time the first one decides. An interrupt in the wrong moment may leave it rare, and nothing worse.
    """
    before = gc.get_threshold()
    is_often = 0 < before[0] < RARELY
    try:
        if is_often:
            gc.set_threshold(RARELY, *before[1:])
        yield
    finally:
        if is_often:
            gc.set_threshold(*before)
