# SPDX-License-Identifier: Apache-2.0
"""One output for both cores: each adds up half of its columns, of its own blocks and of the other core's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.combine import replace_in_turns
from nkimoe.kernels.stages.exchange import swapped
from nkimoe.kernels.stages.gather_tokens import clear
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.output_rows import Destination, Slab, Update
from nkimoe.kernels.stages.update_output import Accumulate
from nkimoe.kernels.tensor import DType, ElementOperand, IndexTile, Tensor
from nkimoe.planning.tiling import PARTITIONS, Span


class ColumnHalves(Accumulate):
    """A core hands half of its results to the other core, which hands over as many: against a slab a core no second one
    is cleared, and none is read and added at the end. Old rows are read and written in halves.

    Results are rounded to the type of the output before they are added: neither the PE nor PSUM waits for old rows.

    Args:
        slab: all rows, with the columns of this core.
    """

    def __init__(self, tensor: Tensor, slab: Slab, tokens: int, dtype: DType, buffers: int) -> None:
        super().__init__(tensor, slab, tokens, dtype, buffers)
        size = slab.columns.size
        self.others = Span(size - slab.columns.start, size)

    def updates(self, part: Part, scales: Sequence[ElementOperand]) -> list[Update]:
        meeting = _Meeting(self, part.block.ids[:, part.tiles.slice])
        both = [[meeting.kept(ids), meeting.handed_over(ids.shape[0])] for ids in part.ids]
        return [Update(scale, each) for scale, each in zip(scales, both, strict=True)]

    def keep_pace(self, slots: list[int]) -> None:
        """The other core's results are added; it gets some of nobody."""
        nobody: IndexTile = nl.ndarray((PARTITIONS, len(slots)), dtype=nl.int32, buffer=nl.sbuf)
        nisa.memset(dst=nobody, value=-1)
        meeting = _Meeting(self, nobody)
        for nothing in [meeting.handed_over(count) for count in slots]:
            clear(nothing.rows)
            nothing.finish()

    def add(self, ids: IndexTile, old: Tensor, results: Tensor) -> None:
        """Rows `ids`, which are on chip as `old`, receive results; all [slots, columns of this core]."""
        nisa.tensor_tensor(dst=old, data1=old, data2=results, op=nl.add)
        self.write(ids, old)


class _Meeting:
    """A part of each core: their ids first, the other core's results when all of this core's are complete.

    Those are added behind all own ones, since the two may have a token in common.

    Args:
        ids: int32 [128, tiles] of own slots.
    """

    def __init__(self, output: ColumnHalves, ids: Tensor) -> None:
        self._output, self._others_ids = output, swapped(ids)
        self._handed_over: list[Tensor] = []
        self._incomplete = 0

    def kept(self, ids: IndexTile) -> Destination:
        """Room for results of the next tile that this core adds; the rows it adds to start loading."""
        old, _ = self._output.rows(ids)
        rows = self._room(ids.shape[0], self._output.slab.columns)
        return self._destination(self._output.slab.columns, rows, lambda: self._output.add(ids, old, rows))

    def handed_over(self, slots: int) -> Destination:
        """Room for those that the other core adds."""
        rows = self._room(slots, self._output.others)
        self._handed_over.append(rows)
        return self._destination(self._output.others, rows, lambda: None)

    def _room(self, slots: int, columns: Span) -> Tensor:
        room: Tensor = nl.ndarray((slots, columns.size), dtype=self._output.dtype, buffer=nl.sbuf)
        return room

    def _destination(self, columns: Span, rows: Tensor, finish: Callable[[], None]) -> Destination:
        self._incomplete += 1

        def complete() -> None:
            finish()
            self._incomplete -= 1
            if not self._incomplete:
                self._meet()

        return Destination(columns, rows, replace_in_turns, complete)

    def _meet(self) -> None:
        """GpSimd describes old rows of all tiles before it waits for a sum."""
        results = [swapped(rows) for rows in self._handed_over]
        ids = [self._others_ids[0 : rows.shape[0], tile : tile + 1] for tile, rows in enumerate(results)]
        old = [self._output.rows(each)[0] for each in ids]
        for each in zip(ids, old, results, strict=True):
            self._output.add(*each)
