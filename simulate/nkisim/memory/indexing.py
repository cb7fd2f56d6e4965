# SPDX-License-Identifier: Apache-2.0
"""NumPy-style indexing of a layout, with the rule that on-chip tensors stay at least two-dimensional."""

from __future__ import annotations

from typing import Any, NamedTuple

from nkisim.errors import ArgumentError, OutOfBounds, ViewError
from nkisim.memory.registers import RegisterValue
from nkisim.memory.views import Layout


class DynamicSlice(NamedTuple):
    """`nl.ds(start, size)`: `size` elements from `start`, which may be a register."""

    start: Any
    size: int


Indexed = tuple[Layout, tuple[int, Any, int] | None]
PlainIndex = tuple[Any, ...]
"""An index by Python's own integers and slices of them, as something to look up."""


def apply_index(layout: Layout, key: Any, plain: PlainIndex | None, keep_first: bool) -> Indexed:
    """`layout` indexed by `key`, and the runtime index (axis of the old layout, start, count) if there is one.

    Kernels take the same few views again and again: those by Python's own integers and slices are remembered.

    Args:
        plain: `plain_index` of `key`.
    """
    if plain is None:
        return _apply(layout, key, keep_first)
    question = (layout, plain, keep_first)
    known = _known.get(question)
    if known is None:
        if len(_known) >= _MOST:
            _known.clear()
        known = _known[question] = _apply(layout, key, keep_first)
    return known


_known: dict[tuple[Any, ...], Indexed] = {}
_MOST = 1 << 16
_INTEGERS = frozenset((int, type(None)))


def plain_index(key: Any) -> PlainIndex | None:
    """`key` as something to look up; None where it holds anything but integers and slices of them."""
    found: list[Any] = []
    for item in key if type(key) is tuple else (key,):
        if type(item) is slice:
            start, stop, step = item.start, item.stop, item.step
            if type(start) not in _INTEGERS or type(stop) not in _INTEGERS or type(step) not in _INTEGERS:
                return None
            found.append((start, stop, step))
        elif type(item) is int:
            found.append(item)
        else:
            return None
    return tuple(found)


def _apply(layout: Layout, key: Any, keep_first: bool) -> Indexed:
    offset = layout.offset
    counts: list[int] = []
    strides: list[int] = []
    dynamic: tuple[int, Any, int] | None = None
    dropped: list[int] = []
    for item, size, stride in zip(_expand(key, len(layout.shape)), layout.shape, layout.strides, strict=True):
        axis = len(counts)
        if type(item) is slice:
            start, count, step = _bounds(item, size)
        elif type(item) is range:  # what nl.affine_range gives
            start, count, step = _elements(item)
        else:
            start, count, step = *_start(item, size), 1
            if not isinstance(item, DynamicSlice):
                dropped.append(axis)
            if not hasattr(start, "__index__") or isinstance(start, RegisterValue):
                dynamic, start = _only_one(dynamic, (axis, start, count)), 0
        if count < 0 or start < 0 or (start + (count - 1) * step >= size if count else start > size):
            raise _outside(axis, start, start + (count - 1) * step, layout.shape)
        offset += start * stride if count else 0  # what is empty lies nowhere
        counts.append(count)
        strides.append(stride * step)
    if dropped:
        keep = _kept_axes(len(counts), dropped, keep_first)
        counts, strides = [counts[a] for a in keep], [strides[a] for a in keep]
    return Layout(tuple(counts), tuple(strides), offset), dynamic


def _start(item: Any, size: int) -> tuple[Any, int]:
    """First element, perhaps a runtime value, and number of elements."""
    if isinstance(item, DynamicSlice):
        return item.start, item.size
    return (item if isinstance(item, RegisterValue) else _integer(item, size)), 1


def _only_one(known: tuple[int, Any, int] | None, new: tuple[int, Any, int]) -> tuple[int, Any, int]:
    if known is not None:
        raise ViewError(
            "a view takes one runtime index",
            f"runtime indices of dimensions {known[0]} and {new[0]}",
            "Fold both indices into one offset.",
        )
    return new


def _kept_axes(ndim: int, dropped: list[int], keep_first: bool) -> list[int]:
    """On chip the partition dimension stays, and so does the last one if fewer than two would; HBM keeps one."""
    keep = [a for a in range(ndim) if a not in dropped or (keep_first and a == 0)]
    if len(keep) < (2 if keep_first else 1) and ndim - 1 not in keep:
        keep.append(ndim - 1)
    return keep


def _expand(key: Any, ndim: int) -> list[Any]:
    keys = list(key) if isinstance(key, tuple) and not isinstance(key, DynamicSlice) else [key]
    ellipses = [i for i, item in enumerate(keys) if item is Ellipsis]
    given = len(keys) - len(ellipses)
    if given == ndim and not ellipses:
        return keys
    if len(ellipses) > 1 or given > ndim:
        raise ArgumentError(
            f"an index has at most {ndim} entries and one ellipsis here",
            f"{key!r}",
            "Drop the extra entries.",
        )
    fill: list[Any] = [slice(None)] * (ndim - given)
    at = ellipses[0] if ellipses else len(keys)
    return keys[:at] + fill + keys[at + len(ellipses) :]


def _bounds(item: slice, size: int) -> tuple[int, int, int]:
    start = 0 if item.start is None else item.start
    stop = size if item.stop is None else item.stop
    step = 1 if item.step is None else item.step
    if not (isinstance(start, int) and isinstance(stop, int) and isinstance(step, int)) or step < 1:
        raise ArgumentError(
            "a slice has integer bounds and a positive step",
            f"{item}",
            "Use nl.ds(start, size) for runtime starts.",
        )
    start, stop = start + size if start < 0 else start, stop + size if stop < 0 else stop
    return start, max(0, -(-(stop - start) // step)), step


def _elements(item: range) -> tuple[int, int, int]:
    if item.step < 1:
        raise ArgumentError("a range that indexes has a positive step", f"{item}", "Turn it around.")
    return item.start if item else 0, len(item), item.step


def _integer(item: Any, size: int) -> int:
    try:
        index = item.__index__()
    except (AttributeError, TypeError):
        raise ArgumentError(
            "tensors are indexed by integers, slices, ranges, nl.ds and ...",
            f"{type(item).__name__}",
            "For a runtime index use nl.ds(register, size), .select(dim, tensor) or .ap(..., scalar_offset=).",
        ) from None
    return int(index + size if index < 0 else index)


def _outside(axis: int, first: int, last: int, shape: tuple[int, ...]) -> OutOfBounds:
    return OutOfBounds(
        "an index stays inside its dimension",
        f"elements {first}..{last} of dimension {axis} of shape {shape}",
        "Clip the range to the tensor.",
    )
