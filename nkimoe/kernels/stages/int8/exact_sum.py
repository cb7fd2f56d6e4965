# SPDX-License-Identifier: Apache-2.0
"""Sums of products of int8 codes, as int32 would hold them.

A product has at most 2**14, so fp32 adds `exact_rows` of them without rounding: 1024 of any codes, more where the
columns of the weights allow (`weights/int8.py`). What is longer is cut. Two sums are added in fp32, which rounds the
exact result once, as its conversion from int32 would; of more, each becomes int32 first.
"""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.contract import contract
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.tiling import Span, ceil_div


class ExactSum:
    """A sum [rows, columns] over `contraction` rows of two operands, `exact_rows` at a time, whole tiles."""

    def __init__(self, rows: int, columns: int, contraction: int, exact_rows: int) -> None:
        self._shape, self._exact_rows = (rows, columns), exact_rows
        self._chunks = ceil_div(contraction, exact_rows)
        self._added, self._open, self._closed = 0, self._bank(), 0
        self._before: Tensor | None = None

    def add(self, stationary: Tensor, moving: Tensor, rows: Span) -> None:
        first = 0
        while first < rows.size:
            size = min(rows.size - first, self._exact_rows - self._added)
            tiles = slice(first // stationary.shape[0], ceil_div(first + size, stationary.shape[0]))
            contract(self._open, stationary[:, tiles, :], moving[:, tiles, :], Span(self._added, size), 1)
            first, self._added = first + size, self._added + size
            if self._added == self._exact_rows and self._closed + 1 < self._chunks:
                self._close()

    def total(self) -> Tensor:
        """fp32 in PSUM, or int32 in SBUF, which is rounded when it is read."""
        if self._before is None:
            return self._open
        if self._chunks == 2:
            nisa.tensor_tensor(dst=self._open, data1=self._open, data2=self._before, op=nl.add)
            return self._open
        self._close()
        return self._before

    def _close(self) -> None:
        """Leave PSUM: to fp32 if one more sum follows, else to what adds integers."""
        chunk = nl.ndarray(self._shape, dtype=self._dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=chunk, src=self._open, engine=nisa.engine.scalar)
        if self._before is None:
            self._before = chunk
        else:
            nisa.tensor_tensor(dst=self._before, data1=self._before, data2=chunk, op=nl.add, engine=nisa.engine.gpsimd)
        self._closed, self._added, self._open = self._closed + 1, 0, self._bank()

    @property
    def _dtype(self) -> DType:
        return nl.float32 if self._chunks == 2 else nl.int32

    def _bank(self) -> Tensor:
        bank: Tensor = nl.ndarray(self._shape, dtype=nl.float32, buffer=nl.psum)
        return bank
