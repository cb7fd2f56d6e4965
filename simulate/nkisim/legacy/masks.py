# SPDX-License-Identifier: Apache-2.0
"""Masks: which elements an instruction of NKI 0.1 touches, as a box where they are one."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import ArgumentError, OutOfBounds

Slices = tuple[slice, ...]


def mask_of(mask: Any, shape: tuple[int, ...]) -> Array | None:
    """The mask for an iteration space of `shape`; None where every element is touched.

    Raises:
        ArgumentError: it is no mask of such a space.
    """
    if mask is None:
        return None
    given = np.asarray(mask)
    if given.dtype != np.bool_:
        raise ArgumentError("a mask compares index tensors", f"{mask!r}", "Write mask=(i < n).")
    while given.ndim > len(shape) and given.shape[0] == 1:
        given = given[0]
    while given.ndim > len(shape) and given.shape[-1] == 1:
        given = given[..., 0]
    try:
        full = np.broadcast_to(given, shape)
    except ValueError:
        raise ArgumentError(
            "a mask has the shape of what it masks, or sizes of 1", f"{given.shape} for {shape}", "Index it alike."
        ) from None
    return None if full.all() else full


def box_of(live: Array) -> tuple[Slices, bool]:
    """The smallest box around the elements of a mask, and whether all of it belongs to the mask."""
    slices = []
    for axis in range(live.ndim):
        hit = np.flatnonzero(live.any(axis=tuple(other for other in range(live.ndim) if other != axis)))
        if hit.size == 0:
            return tuple(slice(0, 0) for _ in live.shape), True
        slices.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(slices), bool(live[tuple(slices)].all())


def check_inside(inside: Array | None, live: Array | None, shape: tuple[int, ...], what: str) -> None:
    """Index tensors stay in the tensor wherever the mask is set.

    Raises:
        OutOfBounds: one does not.
    """
    if inside is None:
        return
    outside = ~np.broadcast_to(inside, shape)
    if live is not None:
        outside = outside & live
    if outside.any():
        first = tuple(int(i) for i in np.argwhere(outside)[0])
        raise OutOfBounds(
            "index tensors stay inside the tensor wherever no mask excludes them",
            f"element {first} of the access to {what}",
            "Mask it: mask=(index < size).",
        )
