# SPDX-License-Identifier: Apache-2.0
"""Results of the small tiles of several blocks, which leave in one scatter."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.tensor import DType, IndexTile, Tensor
from nkimoe.planning.tiling import PARTITIONS, Span

MOST = PARTITIONS // 2  # slots of a tile that shares a scatter


class SmallTiles:
    """Rows of tiles of `slots` slots each, one below the other, and of which pairs they are.

    A scatter takes GpSimd as long as 43 descriptors before the first one, and waits for the scatter before.

    Attributes:
        columns: of the result.
    """

    def __init__(self, columns: Span, slots: int, dtype: DType) -> None:
        self.columns, self._slots, self._used = columns, slots, 0
        self._rows: Tensor = nl.ndarray((PARTITIONS, columns.size), dtype=dtype, buffer=nl.sbuf)
        self._pairs: Tensor = nl.ndarray((PARTITIONS, 1), dtype=nl.int32, buffer=nl.sbuf)

    @property
    def is_full(self) -> bool:
        """No other tile has room."""
        return self._used + self._slots > PARTITIONS

    def room(self) -> Tensor:
        """The rows of the next tile."""
        return self._rows[self._used : self._used + self._slots]

    def add(self, pairs: IndexTile) -> None:
        """Those rows are complete."""
        nisa.tensor_copy(dst=self._pairs[self._used : self._used + self._slots], src=pairs)
        self._used += self._slots

    @property
    def held(self) -> tuple[Tensor, IndexTile]:
        """All rows so far, and their pairs."""
        return self._rows[0 : self._used], self._pairs[0 : self._used]
