# SPDX-License-Identifier: Apache-2.0
"""One small number for each byte of a memory.

Bytes are kept in units: the largest size that divides every distance of every access so far. Rows of 4 KiB that are
always touched whole cost one unit each.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nkisim.dtypes import Array
from nkisim.memory.access import Access
from nkisim.memory.footprint import Footprint, footprint

_NOTHING: Array = np.empty(0, np.uint8)


class ByteMap:
    """One number for each byte of `nbytes` bytes of memory, `value` at first.

    Attributes:
        unit: bytes that share a number; 0 before the first access.
    """

    def __init__(self, nbytes: int, dtype: Any = np.uint8, value: int = 0) -> None:
        self._nbytes, self._dtype, self._first = nbytes, np.dtype(dtype), value
        self.unit = 0
        self._values: Array = _NOTHING

    def get(self, access: Access) -> Array:
        """The numbers of the bytes of `access`, each unit once."""
        f = footprint(access)
        if f is None:
            return _NOTHING
        view = self._view(f)
        return view if f.rows is None else view[f.rows]

    def put(self, access: Access, value: int) -> None:
        """Give every byte of `access` the number `value`."""
        f = footprint(access)
        if f is not None:
            self._view(f)[... if f.rows is None else f.rows] = value

    def count_zeros(self, access: Access) -> int:
        """How many bytes of `access` have the number 0; of a row that it has twice, once."""
        f = footprint(access)
        if f is None:
            return 0
        view = self._view(f)
        numbers = view if f.rows is None else view[np.unique(f.rows)]
        return (numbers.size - int(np.count_nonzero(numbers))) * self.unit

    def zeros(self) -> int:
        """How many bytes have the number 0."""
        if self.unit == 0:
            return 0 if self._first else self._nbytes
        whole, rest = divmod(self._nbytes, self.unit)
        zeros = (whole - int(np.count_nonzero(self._values[:whole]))) * self.unit
        return zeros + (rest if rest and self._values[whole] == 0 else 0)

    def include(self, access: Access, bits: int) -> None:
        """Set `bits` in the number of every byte of `access`."""
        f = footprint(access)
        if f is not None:
            self._view(f)[... if f.rows is None else f.rows] |= bits

    def _view(self, f: Footprint) -> Array:
        """The numbers at a footprint, all rows of a gather up to the last."""
        self._refine(f.unit)
        unit, item = self.unit, self._dtype.itemsize
        shape = [count for _, count in f.dims] + [f.run // unit]
        strides = [stride // unit * item for stride, _ in f.dims] + [item]
        if f.rows is not None:
            shape, strides = [int(f.rows.max()) + 1, *shape], [f.pitch // unit * item, *strides]
        return np.ndarray(shape, self._dtype, self._values.data, f.start // unit * item, strides)

    def _refine(self, unit: int) -> None:
        """Make units small enough for one of this size."""
        if self.unit == 0:
            self.unit = unit
            self._values = np.full(-(-self._nbytes // unit), self._first, self._dtype)
        elif unit % self.unit:
            smaller = math.gcd(self.unit, unit)
            self._values = np.repeat(self._values, self.unit // smaller)
            self.unit = smaller

    def by_byte(self) -> Array:
        """A copy with one number a byte."""
        if self.unit == 0:
            return np.full(self._nbytes, self._first, self._dtype)
        return np.repeat(self._values, self.unit)[: self._nbytes]
