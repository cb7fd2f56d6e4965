# SPDX-License-Identifier: Apache-2.0
"""The largest columns of each row, eight at a time, as the Vector Engine finds them; and where values are none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.planning.tiling import ceil_div

AT_ONCE = 8
MASKED = -3.0e38  # instead of -inf: 0 * MASKED is 0, and what was found already is smaller still
FOUND = -3.4e38


class Largest(NamedTuple):
    """values fp32 [rows, count], descending; ids fp32 [rows, count], equal values by ascending id."""

    values: Any
    ids: Any


def room(rows: int, columns: int) -> Any:
    """fp32 [rows, columns], but eight columns at least; those too many hold less than any value."""
    tile = nl.ndarray((rows, max(AT_ONCE, columns)), dtype=nl.float32, buffer=nl.sbuf)
    if columns < AT_ONCE:
        nisa.memset(dst=tile, value=FOUND)
    return tile


def largest(values: Any, count: int) -> Largest:
    """The `count` largest of each row of `values`, a tile of `room`; MASKED ones come last, but before its filling."""
    rows = values.shape[0]
    width = ceil_div(count, AT_ONCE) * AT_ONCE
    best = nl.ndarray((rows, width), dtype=nl.float32, buffer=nl.sbuf)
    places = nl.ndarray((rows, width), dtype=nl.uint32, buffer=nl.sbuf)
    ids = nl.ndarray((rows, width), dtype=nl.float32, buffer=nl.sbuf)
    for here, rest in find_largest(best, values):
        nisa.nc_find_index8(dst=places[:, here], data=rest, vals=best[:, here])
    nisa.tensor_copy(dst=ids, src=places)
    return Largest(best[:, :count], ids[:, :count])


def find_largest(best: Any, values: Any) -> Iterator[tuple[slice, Any]]:
    """Fill fp32 [rows, a multiple of eight] with the largest of each row of `values`, descending.

    Yields each eight as they are found, with the values among which they were.
    """
    width = best.shape[1]
    for start in range(0, width, AT_ONCE):
        here = slice(start, start + AT_ONCE)
        nisa.max8(dst=best[:, here], src=values)
        yield here, values
        if start + AT_ONCE < width:
            rest = nl.ndarray(tuple(values.shape), dtype=nl.float32, buffer=nl.sbuf)
            nisa.nc_match_replace8(dst=rest, data=values, vals=best[:, here], imm=FOUND)
            values = rest


def copy_where(predicate: Any, values: Any, rows: int, columns: int) -> Any:
    """A tile of `room` with `values` where the uint8 predicate of the same shape holds, elsewhere MASKED."""
    result = room(rows, columns)
    part = result[:, :columns].reshape(tuple(values.shape)) if columns >= AT_ONCE else result[:, :columns]
    nisa.memset(dst=part, value=MASKED)
    nisa.tensor_copy_predicated(dst=part, src=values, predicate=predicate)
    return result
