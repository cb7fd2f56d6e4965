# SPDX-License-Identifier: Apache-2.0
"""The bytes an access touches, in a form whose overlap is decided in a few comparisons."""

from __future__ import annotations

from typing import NamedTuple

from nkisim.memory import Access


class Box(NamedTuple):
    """Partitions [p0, p1), bytes [b0, b1) of each; and of these, with a period, only [phase, phase + run) of each one.

    For HBM the only partition is 0. An indirect access may touch anything in its tensor: addresses that are known at
    run time only are not told apart. Only HBM has periods: on chip, instructions that write the gaps of each other wait
    for each other. That is what published latencies of kernels that store transposed tiles say of the compiler.
    """

    p0: int
    p1: int
    b0: int
    b1: int
    period: int = 0
    phase: int = 0
    run: int = 0

    def overlaps(self, other: Box) -> bool:
        """Whether they may share a byte."""
        if self.b0 >= other.b1 or other.b0 >= self.b1 or self.p0 >= other.p1 or other.p0 >= self.p1:
            return False
        if not self.period or self.period != other.period:
            return True
        return self.phase < other.phase + other.run and other.phase < self.phase + self.run

    def covers(self, other: Box) -> bool:
        """Whether it surely contains all bytes of `other`."""
        if self.p0 > other.p0 or self.p1 < other.p1 or self.b0 > other.b0 or self.b1 < other.b1:
            return False
        if not self.period:
            return True
        inside = self.phase <= other.phase and other.phase + other.run <= self.phase + self.run
        return self.period == other.period and inside


def box(access: Access, indirect: bool) -> Box:
    """The bytes of `access`, counted from the start of its storage (of the whole memory, with an address)."""
    storage = access.storage
    if indirect:
        return Box(0, storage.rows, 0, storage.row_bytes)
    shape, strides, start = access.shape, access.strides, access.start
    origin = 0 if storage.address is not None else storage.base
    if storage.buffer.is_on_chip:
        p0, low = divmod(start - origin, storage.pitch)
        high = low + access.dtype.itemsize
        for stride, count in zip(strides[1:], shape[1:], strict=True):
            if stride > 0:
                high += stride * (count - 1)
            else:
                low += stride * (count - 1)
        return Box(p0, p0 + shape[0], low, high)
    dims = [(s, n) for s, n in zip(strides, shape, strict=True) if n > 1]
    return _in_hbm(start - origin, access.dtype.itemsize, dims)


def _in_hbm(at: int, item: int, dims: list[tuple[int, int]]) -> Box:
    low = at + sum(s * (n - 1) for s, n in dims if s < 0)
    high = at + sum(s * (n - 1) for s, n in dims if s > 0) + item
    outer = sorted((abs(s), n) for s, n in dims if s)
    run = item
    while outer and outer[0][0] == run:
        run *= outer.pop(0)[1]
    period = outer[0][0] if outer else 0
    phase = low % period if period else 0
    if not outer or any(s % period for s, _ in outer) or phase + run > period:
        return Box(0, 1, low, high)
    return Box(0, 1, low, high, period, phase, run)
