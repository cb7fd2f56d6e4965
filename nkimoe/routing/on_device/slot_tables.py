# SPDX-License-Identifier: Apache-2.0
"""Tables of slots, written by counting: what stands in a slot is a sum over all pairs, of which one has that slot.

A slot is a row and a column of a table that lies on chip, row r on partition r % 128. For 128 pairs, one matmul puts
their values there: stationary are ones at their rows, moving are the values at their columns. Nothing has an address
that depends on data, so plain transfers write the tables, where a scatter describes every pair by itself.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any, NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.planning.tiling import PARTITIONS, PSUM_BANKS, PSUM_COLUMNS, Span, ceil_div, spans
from nkimoe.routing.on_device.choices import like
from nkimoe.routing.on_device.listed import numbers

MOVING_COLUMNS = 256  # of all values together: then tables of a layer are a tile or three of 128 rows
OPERANDS = 4  # stationary and moving tiles: what is made next does not wait until the PE has read the last ones
BANKS = PSUM_BANKS - 2  # the others are left to the counting of what comes next


class Geometry(NamedTuple):
    """How slots lie on chip.

    Attributes:
        slots: of a table.
        values: tables.
        columns: a power of two; slot s is at row s // columns, column s % columns.
    """

    slots: int
    values: int
    columns: int

    @classmethod
    def of(cls, slots: int, values: int) -> Geometry:
        return cls(slots, values, MOVING_COLUMNS // values)

    @property
    def windows(self) -> list[Span]:
        """The rows that PSUM holds at a time."""
        tiles = BANKS * PSUM_COLUMNS // (self.values * self.columns)
        return spans(ceil_div(self.slots, self.columns), tiles * PARTITIONS)


class Places(NamedTuple):
    """fp32 [128, n, K]: row and column of each choice's slot; -1 for those that have none."""

    rows: Any
    columns: Any


def places_of(slots: Any, geometry: Geometry) -> Places:
    """slots: fp32 [128, n, K], one more than the slot of a choice, 0 or less for none."""
    shape = tuple(slots.shape)
    whole, part = (nl.ndarray(shape, dtype=nl.int32, buffer=nl.sbuf) for _ in range(2))
    rows, columns = (nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
    nisa.tensor_scalar(dst=whole, data=slots, op0=nl.add, operand0=-1.0, op1=nl.maximum, operand1=-1.0)
    nisa.tensor_scalar(dst=part, data=whole, op0=nl.bitwise_and, operand0=geometry.columns - 1)
    nisa.tensor_copy(dst=columns, src=part)
    nisa.tensor_scalar(dst=rows, data=slots, op0=nl.add, operand0=-1.0, op1=nl.maximum, operand1=-1.0)
    nisa.tensor_tensor(dst=rows, data1=rows, data2=columns, op=nl.subtract)
    nisa.tensor_scalar(dst=rows, data=rows, op0=nl.multiply, operand0=1 / geometry.columns)
    return Places(rows, columns)


class SlotSums:
    """The rows of a window, of all values, in PSUM: what this core's pairs put there."""

    def __init__(self, geometry: Geometry, window: Span) -> None:
        self._geometry, self._window = geometry, window
        self._rows = nl.ndarray((PARTITIONS, window.size), dtype=nl.float32, buffer=nl.sbuf)
        nisa.iota(dst=self._rows, pattern=[[1, window.size]], offset=window.start, channel_multiplier=0)
        self._columns = numbers(geometry.columns)
        shape = (PARTITIONS, geometry.values, geometry.columns)
        self._tiles = spans(window.size, PARTITIONS)
        self._sums = [nl.ndarray(shape, dtype=nl.float32, buffer=nl.psum) for _ in self._tiles]
        shapes = ((PARTITIONS, window.size), shape)
        self._operands = cycle(
            [tuple(nl.ndarray(each, dtype=nl.float32, buffer=nl.sbuf) for each in shapes) for _ in range(OPERANDS)]
        )
        self._is_empty = True

    def add(self, places: Places, values: tuple[Any, ...]) -> None:
        """values: fp32 [128, n, K] for each table, or [128, n, 1] where all choices of a token have the same."""
        _, tiles, top_k = places.rows.shape
        for n in range(tiles):
            for k in range(top_k):
                own = [value[:, n, min(k, value.shape[2] - 1) :][:, 0:1] for value in values]
                self._add(places.rows[:, n, k : k + 1], places.columns[:, n, k : k + 1], own)

    def _add(self, row: Any, column: Any, values: list[Any]) -> None:
        """128 pairs."""
        ones, moving = next(self._operands)
        everywhere = row.broadcast(1, self._window.size)
        nisa.tensor_tensor(dst=ones, data1=self._rows, data2=everywhere, op=nl.equal, engine=nisa.engine.gpsimd)
        for v, value in enumerate(values):
            nisa.tensor_scalar(
                dst=moving[:, v, :], data=self._columns, op0=nl.equal, operand0=column, op1=nl.multiply, operand1=value
            )
        flat = moving.reshape((PARTITIONS, MOVING_COLUMNS))
        for sums, rows in zip(self._sums, self._tiles, strict=True):
            nisa.nc_matmul(
                dst=sums[: rows.size].reshape((rows.size, MOVING_COLUMNS)),
                stationary=ones[:, rows.slice],
                moving=flat,
                is_stationary_onezero=True,
                accumulate=not self._is_empty,
            )
        self._is_empty = False

    def total(self) -> Any:
        """fp32 [128, tiles, values, own columns]: of all cores' pairs, the columns of `own_columns`."""
        values, columns = self._geometry.values, own_columns(self._geometry)
        result = nl.ndarray((PARTITIONS, len(self._tiles), values, columns.size), dtype=nl.float32, buffer=nl.sbuf)
        outgoing, incoming = (nl.ndarray(tuple(result.shape), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
        others = columns.size - columns.start  # where the other core's half begins
        if self._tiles[-1].size < PARTITIONS:
            nisa.memset(dst=result[:, len(self._tiles) - 1], value=0)
            nisa.memset(dst=outgoing[:, len(self._tiles) - 1], value=0)
        for n, (sums, rows) in enumerate(zip(self._sums, self._tiles, strict=True)):
            own = sums[: rows.size, :, columns.slice]
            nisa.tensor_copy(dst=result[: rows.size, n], src=own, engine=nisa.engine.scalar)
            if nl.num_programs(0) > 1:
                theirs = sums[: rows.size, :, others : others + columns.size]
                nisa.tensor_copy(dst=outgoing[: rows.size, n], src=theirs)
        if nl.num_programs(0) > 1:
            other = 1 - nl.program_id(0)
            nisa.sendrecv(src=outgoing, dst=incoming, send_to_rank=other, recv_from_rank=other, pipe_id=0)
            nisa.tensor_tensor(dst=result, data1=result, data2=incoming, op=nl.add)
        return result


def less_one(numbers: Any, pad: int) -> Any:
    """int32: numbers that were stored one larger, and `pad` where there is none, 0."""
    is_pad, result = like(numbers), nl.ndarray(tuple(numbers.shape), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=is_pad, data=numbers, op0=nl.equal, operand0=0.0, op1=nl.multiply, operand1=float(pad + 1))
    nisa.scalar_tensor_tensor(dst=result, data=numbers, op0=nl.add, operand0=-1.0, op1=nl.add, operand1=is_pad)
    return result


def own_columns(geometry: Geometry) -> Span:
    """Columns that this core writes."""
    size = geometry.columns // nl.num_programs(0)
    return Span(nl.program_id(0) * size, size)


def store(table: Any, values: Any, geometry: Geometry, window: Span) -> None:
    """Write this core's columns of a window's rows, [128, tiles, own columns], to an HBM table [slots]."""
    own, columns = own_columns(geometry), geometry.columns
    rest = geometry.slots - window.start * columns  # slots from the first row on
    rows = Span(0, min(window.size, rest // columns))
    first = window.start * columns + own.start
    whole = rows.size // PARTITIONS
    if whole:
        pattern = [[columns, PARTITIONS], [PARTITIONS * columns, whole], [1, own.size]]
        nisa.dma_copy(dst=table.ap(pattern=pattern, offset=first), src=values[:, :whole, :])
    if rows.size > whole * PARTITIONS:
        part = rows.size - whole * PARTITIONS
        dst = table.ap(pattern=[[columns, part], [1, own.size]], offset=first + whole * PARTITIONS * columns)
        nisa.dma_copy(dst=dst, src=values[:part, whole, :])
    last = min(rest - rows.size * columns - own.start, own.size)
    if rows.size < window.size and last > 0:
        partition, tile = rows.size % PARTITIONS, rows.size // PARTITIONS
        dst = table.ap(pattern=[[columns, 1], [1, last]], offset=first + rows.size * columns)
        nisa.dma_copy(dst=dst, src=values[partition : partition + 1, tile, :last])
