# SPDX-License-Identifier: Apache-2.0
"""Rows of the output on chip and in HBM: what every kind of output is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.combine import Combine, both, replace
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.products import DownProduct, DownProducts
from nkimoe.kernels.tensor import DType, ElementOperand, IndexTile, Tensor
from nkimoe.planning.tiling import GOOD_ROW_BYTES, OUTPUT_BYTES, PARTITIONS, Span, spans

Room = Callable[[IndexTile], tuple[Tensor, Combine]]
"""From an index tile to a tile for those rows, and how results go into it."""

ZERO_COLUMNS = GOOD_ROW_BYTES // OUTPUT_BYTES  # of the tile that zeros are read from: one run, read again and again
# Elements of a partition that one transfer clears. Chosen, not measured: fewer transfers to issue, but whoever reads a
# row waits for all of the transfer that clears it, 8 MiB.
ZEROS_AT_ONCE = 32768


class Slab:
    """Columns `columns` of rows [rows, H] in an HBM tensor; rows are `pitch` elements apart, the first at `offset`."""

    def __init__(self, tensor: Tensor, rows: int, columns: Span, pitch: int, offset: int = 0) -> None:
        self.tensor, self.rows, self.columns = tensor, rows, columns
        self._pitch, self._offset = pitch, offset + columns.start

    @property
    def begins_tensor(self) -> bool:
        """No rows of another slab come before these."""
        return self._offset < self._pitch

    def part(self, span: Span) -> Tensor:
        """Consecutive rows, as a [rows, columns] view."""
        return self.tensor.ap(
            pattern=[[self._pitch, span.size], [1, self.columns.size]],
            offset=self._offset + span.start * self._pitch,
        )

    def tiles(self, spans: list[Span]) -> Tensor:
        """Tiles of rows at equal distances, as a [rows, tiles, columns] view."""
        step = spans[-1].start - spans[-2].start if len(spans) > 1 else 1
        return self.tensor.ap(
            pattern=[[self._pitch, spans[0].size], [step * self._pitch, len(spans)], [1, self.columns.size]],
            offset=self._offset + spans[0].start * self._pitch,
        )

    def at(self, ids: IndexTile, limit: int) -> Tensor:
        """Rows `ids` [slots, 1]; negative ids are out of bounds, and where the slab begins its tensor those of `limit`
        and more. The pattern is of the whole tensor: what one of a view counts from is open.

        A toolchain that checks bounds against the whole tensor writes pad results to the pad row instead, whose
        content means nothing.
        """
        whole = self.tensor.reshape((prod(self.tensor.shape) // self._pitch, self._pitch))
        bounded = whole[0:limit, :] if self.begins_tensor else whole
        return bounded.ap(
            pattern=[[self._pitch, ids.shape[0]], [1, self.columns.size]],
            offset=self._offset,
            vector_offset=ids,
            indirect_dim=0,
        )


@dataclass(frozen=True)
class Destination:
    """Where some columns of the results of a tile of slots go.

    Attributes:
        columns: of H.
        rows: [slots, columns] on chip.
        combine: how results go into them.
        finish: what becomes of the rows when every column has been added.
    """

    columns: Span
    rows: Tensor
    combine: Combine
    finish: Callable[[], None]

    def add(self, product: DownProduct, scale: ElementOperand) -> None:
        """Those columns of a product that go here; columns come in order, and the last ones finish."""
        own, columns = self.columns, product.columns.shared(self.columns)
        if columns.size:
            rows = self.rows[:, columns.start - own.start : columns.stop - own.start]
            self.combine(rows, product.within(columns), scale)
            if columns.stop == own.stop:
                self.finish()


class Update:
    """New values for the rows of one tile of at most 128 slots: new = product * scale (+ old), rounded once."""

    def __init__(self, affinity: ElementOperand, destinations: list[Destination]) -> None:
        self._affinity, self._destinations = affinity, destinations
        self._scale: ElementOperand | None = None

    def add(self, product: DownProduct) -> None:
        """Columns come in order."""
        if self._scale is None:
            self._scale = both(product.scale, self._affinity)
        for destination in self._destinations:
            destination.add(product, self._scale)


def drain(products: DownProducts, updates: list[Update]) -> None:
    """Ask for all down products and add them to the rows of their token tiles."""
    for product in products:
        updates[product.tile].add(product)


class Output:
    """The output of one core.

    Attributes:
        tensor: what the kernel returns.
        slab: the rows this core updates.
        tokens: ids below this are real.
    """

    def __init__(self, tensor: Tensor, slab: Slab, tokens: int, dtype: DType) -> None:
        self.tensor, self.slab, self.tokens, self.dtype = tensor, slab, tokens, dtype

    def begin(self) -> None:
        """Make rows that no slot names zero."""
        raise NotImplementedError

    def rows(self, ids: IndexTile) -> tuple[Tensor, Combine]:
        """A tile [slots, columns] for rows `ids`, and how results go into it."""
        return self.fresh_rows(ids)

    def fresh_rows(self, ids: IndexTile) -> tuple[Tensor, Combine]:
        """The same for rows that hold nothing yet."""
        tile = nl.ndarray((ids.shape[0], self.slab.columns.size), dtype=self.dtype, buffer=nl.sbuf)
        return tile, replace

    def rewind(self) -> None:
        """A device loop begins its body."""

    def ids_of(self, part: Part) -> list[IndexTile]:
        """The rows of the slab that a part's slots go to."""
        return part.ids

    def updates(self, part: Part, scales: Sequence[ElementOperand]) -> list[Update]:
        """One update for each tile of slots, its results multiplied by a scale; rows it adds to start loading."""
        room: Room = self.fresh_rows if part.block.is_first else self.rows
        return [
            Update(scale, [self._destination(ids, *room(ids))])
            for ids, scale in zip(self.ids_of(part), scales, strict=True)
        ]

    def _destination(self, ids: IndexTile, rows: Tensor, combine: Combine) -> Destination:
        return Destination(self.slab.columns, rows, combine, partial(self.write, ids, rows))

    def write(self, ids: IndexTile, rows: Tensor) -> None:
        """Scatter rows [slots, columns]; pad slots are out of bounds and write nothing."""
        nisa.dma_copy(dst=self.slab.at(ids, self.tokens), src=rows, oob_mode=nisa.oob_mode.skip)

    def keep_pace(self, slots: list[int]) -> None:
        """The other core processes a part more, with tiles of so many slots."""

    def finish(self) -> Tensor:
        """The finished output."""
        return self.tensor


def my_share(rows: int) -> list[Span]:
    """Tiles of at most 128 rows; with two cores every other one."""
    return spans(rows, PARTITIONS)[nl.program_id(0) :: nl.num_programs(0)]


def zero_rows(slab: Slab, parts: list[Span]) -> None:
    """Zero these rows of the slab, from a narrow tile that is read again and again.

    Nobody here says who describes transfers of rows that are read again, by DGE mode or engine: what was written and is
    read is in order only if the compiler chooses both.
    """
    size = slab.columns.size
    width = next(size // n for n in range(1, size + 1) if size % n == 0 and size // n <= ZERO_COLUMNS)
    zeros = nl.ndarray((min(PARTITIONS, slab.rows), width), dtype=slab.tensor.dtype, buffer=nl.sbuf)
    nisa.memset(dst=zeros, value=0)
    at_once = max(1, ZEROS_AT_ONCE // size)
    whole = [span for span in parts if span.size == PARTITIONS]
    groups = [whole[i : i + at_once] for i in range(0, len(whole), at_once)] + [[span] for span in parts[len(whole) :]]
    for some in groups:
        source = zeros.ap(pattern=[[width, some[0].size], [0, len(some) * size // width], [1, width]])
        nisa.dma_copy(dst=slab.tiles(some), src=source)
