# SPDX-License-Identifier: Apache-2.0
"""Token rows to token columns, so that H is the contraction on partitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.exchange import share_tokens
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.tiling import PARTITIONS, Span, spans


def hidden_rows(tile: int, group: int) -> slice:
    """The rows of H that contraction tile `tile` holds: with groups of g, partition p holds row base + p * g.

    >>> hidden_rows(0, 2), hidden_rows(1, 2)
    (slice(0, 255, 2), slice(1, 256, 2))
    """
    start = tile // group * PARTITIONS * group + tile % group
    return slice(start, start + (PARTITIONS - 1) * group + 1, group)


class ColumnTiling(Protocol):
    """What of a tiling shapes columns, as `Tiling` documents it."""

    @property
    def token_tiles(self) -> int: ...

    @property
    def token_slots(self) -> int: ...

    @property
    def row_sets(self) -> int: ...

    @property
    def row_group(self) -> int: ...

    @property
    def transposes_per_bank(self) -> int: ...


class ColumnInputs(Protocol):
    """The form that columns take on their way from PSUM."""

    @property
    def dtype(self) -> DType: ...

    def store(self, dst: Tensor, src: Tensor, n: int) -> None:
        """dst = src, the n-th from PSUM."""


class CopiedColumns:
    """As they are.

    Attributes:
        dtype: of the matmul operand.
    """

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype

    def store(self, dst: Tensor, src: Tensor, n: int) -> None:
        """dst = src, the n-th from PSUM; the Vector and the Scalar Engine take turns."""
        nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.scalar if n % 2 else nisa.engine.vector)


class TokenColumns:
    """The tokens of one part as columns: [128, H/128, tokens]; partition and tile together name the row of H.

    There is one tile: the next part's tokens move in as soon as this part's gate and up projections are through, and
    are transposed while the activation is computed.

    Attributes:
        dtype: of the columns.
    """

    def __init__(self, H: int, tiling: ColumnTiling, own: Span, inputs: ColumnInputs) -> None:
        self._tiling, self._own, self._inputs, self.dtype = tiling, own, inputs, inputs.dtype
        shape = (PARTITIONS, H // PARTITIONS, tiling.token_slots)
        self._tile: Tensor = nl.ndarray(shape, dtype=self._inputs.dtype, buffer=nl.sbuf)

    def turn(self, rows: Iterable[Tensor]) -> None:
        """Transpose tiles [tokens, own columns of H]; what only the other core gathered comes from there."""
        count = 0
        for row in rows:
            self._transpose(row, self._tile[:, :, count : count + row.shape[0]])
            count += row.shape[0]
        share_tokens(self._tile[:, :, 0:count], self._own)

    def of(self, part: Part) -> Tensor:
        """The columns of the part that was transposed last."""
        return self._tile[:, :, 0 : part.slots]

    def _transpose(self, row: Tensor, columns: Tensor) -> None:
        first = self._own.start // PARTITIONS
        for n, bank in enumerate(spans(self._own.size // PARTITIONS, self._tiling.transposes_per_bank)):
            turned = nl.ndarray((PARTITIONS, bank.size, row.shape[0]), dtype=row.dtype, buffer=nl.psum)
            for k in range(bank.size):
                source = row[:, hidden_rows(bank.start + k, self._tiling.row_group)]
                nisa.nc_transpose(dst=turned[:, k, :], data=source, engine=nisa.engine.tensor)
            self._inputs.store(columns[:, Span(first + bank.start, bank.size).slice, :], turned, n)
