# SPDX-License-Identifier: Apache-2.0
"""Slots of blocks, put together from the tables of all groups.

The slots that a group has for a block follow each other, from any of its slots on. So the row in which they begin, and
those behind it, are copied to the block's partition by matmuls with ones. Then all groups' rows lie there side by side,
and GpSimd takes for each slot what is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans
from nkimoe.routing.on_device.block_tables import BlockSources
from nkimoe.routing.on_device.choices import like
from nkimoe.routing.on_device.listed import own_numbers
from nkimoe.routing.on_device.slot_tables import SlotTables

NOWHERE = 1 << 22  # a place behind all others
READ_BYTES = 32768  # of a partition: rows of groups that lie side by side


class Piece(NamedTuple):
    """Slots of some blocks, the same ones of each.

    Attributes:
        blocks, slots: which.
        values: fp32 [blocks, slots, values]; 0 in pads.
    """

    blocks: Span
    slots: Span
    values: Any


class BlockPieces:
    """All pieces of this core's blocks."""

    def __init__(self, tables: SlotTables) -> None:
        self._tables, self._geometry = tables, tables.geometry
        self._width = tables.geometry.copies * tables.row  # of a group's rows
        self._partition = own_numbers(Span(0, PARTITIONS), nl.float32)

    def of(self, found: Iterable[BlockSources], block_size: int) -> Iterator[Piece]:
        """One after the other."""
        groups = spans(len(self._tables.tables), max(1, READ_BYTES // (4 * self._width)))
        for own in found:
            for slots in spans(block_size, self._geometry.piece):
                if own.n_real:
                    total = self._look_through(own, slots.start, groups)[: own.n_real, : slots.size, :]
                    yield Piece(Span(own.numbers.start, own.n_real), slots, total)

    def _look_through(self, own: BlockSources, start: int, groups: list[Span]) -> Any:
        """fp32 [blocks, piece, values], from slot `start` on."""
        count, piece, values = own.numbers.size, self._geometry.piece, self._tables.values
        total = nl.ndarray((count, piece * values), dtype=nl.float32, buffer=nl.sbuf)
        for some in groups:
            places, rows = self._places(own, start, some), self._rows(own, start, some)
            part = like(total) if some.start else total
            nisa.nc_n_gather(dst=part, data=rows, indices=places)
            if some.start:
                nisa.tensor_tensor(dst=total, data1=total, data2=part, op=nl.add)
        return total.reshape((count, piece, values))

    def _rows(self, own: BlockSources, start: int, groups: Span) -> Any:
        """fp32 [blocks, columns]: the rows of groups side by side, and a zero."""
        zero, count = groups.size * self._width, own.numbers.size
        result = nl.ndarray((count, zero + 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=result[:, zero:], value=0, engine=nisa.engine.gpsimd)
        rows = self._geometry.rows_of(own.everywhere[:, groups.slice, :], start).rows
        for n in range(self._geometry.copies):
            is_row = like(rows)
            nisa.tensor_scalar(
                dst=is_row, data=rows, op0=nl.add, operand0=float(n), op1=nl.equal, operand1=self._partition
            )
            for g in range(groups.size):
                begin = g * self._width + n * self._tables.row
                dst = result[:, begin : begin + self._tables.row]
                self._copy_rows(dst, self._tables.tables[groups.start + g], is_row[:, g, :])
        return result

    def _copy_rows(self, dst: Any, table: Any, is_row: Any) -> None:
        """dst, fp32 [blocks, row]: for each block a row of a table [128, row]."""
        for columns in spans(self._tables.row, PSUM_COLUMNS):
            sums = nl.ndarray((dst.shape[0], columns.size), dtype=nl.float32, buffer=nl.psum)
            nisa.nc_matmul(
                dst=sums, stationary=is_row, moving=table[:, columns.slice], is_stationary_onezero=True,
                accumulate=False,
            )  # fmt: skip
            nisa.tensor_copy(dst=dst[:, columns.slice], src=sums, engine=nisa.engine.scalar)

    def _places(self, own: BlockSources, start: int, groups: Span) -> Any:
        """uint32 [blocks, piece * values]: where among the rows of groups each is; the zero, if they do not have it.

        Places go up by one, but for a step where a group's slots begin: from NOWHERE, and to it behind the last one.
        """
        count, values, n = own.numbers.size, self._tables.values, groups.size
        steps, bounds = self._steps(own, start, groups)
        shape = (count, self._geometry.piece * values)
        number, place = (nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
        nisa.iota(dst=number, pattern=[[1, shape[1]]], offset=0, channel_multiplier=0)
        nisa.tensor_scalar(dst=place, data=number, op0=nl.add, operand0=float(NOWHERE))
        for g in range(n + 1):
            step = like(number)
            nisa.tensor_scalar(
                dst=step, data=number, op0=nl.greater_equal, operand0=bounds[:, g : g + 1],
                op1=nl.multiply, operand1=steps[:, g : g + 1],
            )  # fmt: skip
            nisa.tensor_tensor(dst=place, data1=place, data2=step, op=nl.add)
        result = nl.ndarray(shape, dtype=nl.uint32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=result, data=place, op0=nl.minimum, operand0=float(n * self._width))
        return result

    def _steps(self, own: BlockSources, start: int, groups: Span) -> tuple[Any, Any]:
        """fp32 [blocks, groups + 1]: the steps, and behind how many values of the piece they are."""
        count, values, n = own.numbers.size, float(self._tables.values), groups.size
        columns = self._geometry.rows_of(own.sources[:, groups.slice], start).columns
        begins = nl.ndarray((count, n + 2), dtype=nl.float32, buffer=nl.sbuf)  # NOWHERE before and behind
        steps, bounds = (nl.ndarray((count, n + 1), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
        nisa.memset(dst=begins, value=NOWHERE)
        rows = begins[:, 1 : n + 1]
        nisa.iota(dst=rows, pattern=[[self._width, n]], offset=0, channel_multiplier=0)
        nisa.scalar_tensor_tensor(dst=rows, data=columns, op0=nl.multiply, operand0=values, op1=nl.add, operand1=rows)
        nisa.tensor_tensor(dst=steps, data1=begins[:, 1:], data2=begins[:, : n + 1], op=nl.subtract)
        nisa.tensor_scalar(
            dst=bounds, data=own.bounds[:, groups.start : groups.stop + 1], op0=nl.add, operand0=-float(start),
            op1=nl.multiply, operand1=values,
        )  # fmt: skip
        return steps, bounds
