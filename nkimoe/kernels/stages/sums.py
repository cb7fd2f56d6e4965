# SPDX-License-Identifier: Apache-2.0
"""Sums of products that the pieces of a contraction are added to one after the other."""

from __future__ import annotations

from typing import Protocol

import nki.language as nl

from nkimoe.kernels.stages.contract import contract
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import Span


class Sum(Protocol):
    """stationary.T @ moving, over all rows of the contraction."""

    def add(self, stationary: Tensor, moving: Tensor, rows: Span) -> None:
        """Add the products of these rows, which follow those before: [128, tiles, M] and [128, tiles, N]."""

    def total(self) -> Tensor:
        """[M, N], once all rows were added. Say it once."""
        ...


class PsumSum:
    """fp32 in one PSUM bank from the first row to the last.

    Args:
        rows, columns: M and N.
        tiles_at_once: tiles of the contraction that one matmul takes.
    """

    def __init__(self, rows: int, columns: int, tiles_at_once: int) -> None:
        self._tiles_at_once = tiles_at_once
        self._data: Tensor = nl.ndarray((rows, columns), dtype=nl.float32, buffer=nl.psum)

    def add(self, stationary: Tensor, moving: Tensor, rows: Span) -> None:
        contract(self._data, stationary, moving, rows, self._tiles_at_once)

    def total(self) -> Tensor:
        return self._data
