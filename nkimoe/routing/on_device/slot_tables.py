# SPDX-License-Identifier: Apache-2.0
"""Tables of a group's slots, made by counting: what stands in a slot is a sum over pairs, of which one has that slot.

A slot is a row and a column of a table that lies on chip, a row a partition. For 128 pairs, one matmul puts their
values there: stationary are ones at their rows, moving are the values at their columns. Nothing has an address that
depends on data, where a scatter describes every pair by itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.errors import require
from nkimoe.planning.tiling import PARTITIONS, ceil_div, spans
from nkimoe.routing.on_device.choices import like
from nkimoe.routing.on_device.token_groups import TokenGroups

KEPT_TABLES = 98304  # bytes of a partition
COMPARED_COLUMNS = 1024  # of all choices that are compared with rows or columns at once
LONGEST_PIECE = 512  # slots of a block that are read together


class PieceStarts(NamedTuple):
    """fp32: the row in which each is read, and in how many columns of it and of the rows behind it begins."""

    rows: Any
    columns: Any


class Geometry(NamedTuple):
    """How the slots of a group lie.

    Attributes:
        piece: slots of a block that are read together. Where they reach over a group's pairs, they read zeros: as many
            slots at either end have no pair.
        columns: slot s is at row s // columns, column s % columns.
    """

    piece: int
    columns: int

    @classmethod
    def of(cls, groups: TokenGroups, top_k: int, block_size: int) -> Geometry:
        piece = min(block_size, LONGEST_PIECE)
        return cls(piece, groups.tiles * top_k + ceil_div(2 * piece, PARTITIONS))

    @property
    def slots(self) -> int:
        """Of a group."""
        return PARTITIONS * self.columns

    @property
    def copies(self) -> int:
        """Rows that a piece lies in, wherever in the first one it begins."""
        return ceil_div(self.piece + self.columns - 1, self.columns)

    def rows_of(self, slots: Any, later: int) -> PieceStarts:
        """Where pieces begin: so much later than the slots, fp32, but inside the table."""
        begin, rows, columns = like(slots), like(slots), like(slots)
        whole = nl.ndarray(tuple(slots.shape), dtype=nl.int32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=begin, data=slots, op0=nl.add, operand0=float(later), op1=nl.maximum, operand1=0.0)
        nisa.tensor_scalar(dst=begin, data=begin, op0=nl.minimum, operand0=float(self.slots - self.piece))
        half = 0.5 - 0.5 / self.columns  # less it, the nearest is the one below
        nisa.tensor_scalar(
            dst=whole, data=begin, op0=nl.multiply, operand0=1 / self.columns, op1=nl.subtract, operand1=half
        )
        nisa.tensor_scalar(dst=rows, data=whole, op0=nl.minimum, operand0=float(PARTITIONS - self.copies))
        nisa.scalar_tensor_tensor(
            dst=columns, data=rows, op0=nl.multiply, operand0=-float(self.columns), op1=nl.add, operand1=begin
        )
        return PieceStarts(rows, columns)


class Places(NamedTuple):
    """[128, n, K]: fp32 row of each choice's slot, -1 for those that have none; and one more than its column, fp16."""

    rows: Any
    columns: Any


def places_of(slots: Any, geometry: Geometry) -> Places:
    """slots: fp32 [128, n, K], one more than the slot of a choice, 0 or less for none.

    The row is slot / columns rounded down, which is the nearest to 1/2 - 1/(2 columns) less.
    """
    columns, positive, rows = geometry.columns, like(slots), like(slots)
    whole = nl.ndarray(tuple(slots.shape), dtype=nl.int32, buffer=nl.sbuf)
    places = nl.ndarray(tuple(slots.shape), dtype=nl.float16, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=positive, data=slots, op0=nl.maximum, operand0=0.0)
    nisa.tensor_scalar(
        dst=whole, data=positive, op0=nl.multiply, operand0=1 / columns, op1=nl.add, operand1=-0.5 - 0.5 / columns
    )
    nisa.tensor_copy(dst=rows, src=whole)
    nisa.scalar_tensor_tensor(
        dst=places, data=rows, op0=nl.multiply, operand0=-float(columns), op1=nl.add, operand1=positive
    )
    return Places(rows, places)


class SlotTables:
    """What stands in the slots of all groups.

    Attributes:
        row: numbers in a row of a table.
        tables: fp32 [128, row] of each group, when all are there.

    Raises:
        RequestError: there are too many pairs for all to be on chip.
    """

    def __init__(self, groups: TokenGroups, geometry: Geometry, values: int) -> None:
        self.geometry, self.values = geometry, values
        self.row = geometry.columns * values
        needed = 4 * self.row * len(groups.all)
        fix = "Split the batch, or make tables on the host with nkimoe.routing."
        require(needed <= KEPT_TABLES, "ids", f"take up to {KEPT_TABLES} bytes of each partition", needed, fix)
        self.tables: list[Any] = []
        self._waiting: tuple[Places, tuple[Any, ...]] | None = None
        self._groups = groups
        self._rows = nl.ndarray((PARTITIONS, PARTITIONS), dtype=nl.float32, buffer=nl.sbuf)
        self._columns = nl.ndarray((PARTITIONS, geometry.columns), dtype=nl.float16, buffer=nl.sbuf)
        nisa.iota(dst=self._rows, pattern=[[1, PARTITIONS]], offset=0, channel_multiplier=0)
        nisa.iota(dst=self._columns, pattern=[[1, geometry.columns]], offset=1, channel_multiplier=0)

    def add(self, places: Places, values: tuple[Any, ...]) -> None:
        """This core's next group.

        It is summed when the one after it has been placed, so that engines do both at once.

        Args:
            values: fp32 [128, n, K] of each, or [128, n, 1] where all choices of a token have the same.
        """
        if self._waiting:
            self._sum()
        self._waiting = places, values

    def finish(self) -> None:
        """No more groups will be added."""
        while len(self.tables) < len(self._groups.all):
            self._sum()

    def _sum(self) -> None:
        waiting, self._waiting = self._waiting, None
        self.tables += self._of_all_cores(self._sums(*waiting) if waiting else self._nothing())

    def _nothing(self) -> Any:
        """The table of a group that is missing, for the other core waits for one."""
        result = nl.ndarray((PARTITIONS, self.row), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=result, value=0)
        return result

    def _sums(self, places: Places, values: tuple[Any, ...]) -> Any:
        """fp32 [128, row]: each value summed over pairs, of which one at most has the slot."""
        columns = self.geometry.columns
        _, tiles, top_k = places.rows.shape
        sums = [nl.ndarray((PARTITIONS, columns), dtype=nl.float32, buffer=nl.psum) for _ in values]
        is_empty = True
        for n in range(tiles):
            for some in spans(top_k, max(1, COMPARED_COLUMNS // max(columns, PARTITIONS))):
                own = [value[:, n, some.slice if value.shape[2] > 1 else slice(0, 1)] for value in values]
                self._add(sums, places.rows[:, n, some.slice], places.columns[:, n, some.slice], own, is_empty)
                is_empty = False
        result = nl.ndarray((PARTITIONS, columns, self.values), dtype=nl.float32, buffer=nl.sbuf)
        for v, total in enumerate(sums):
            nisa.tensor_copy(dst=result[:, :, v], src=total, engine=nisa.engine.scalar)
        return result.reshape((PARTITIONS, self.row))

    def _of_all_cores(self, own: Any) -> list[Any]:
        """This core's table and the other one's, in their order; not what lies behind the last group."""
        core, cores = nl.program_id(0), nl.num_programs(0)
        tables = [own] * cores
        if cores > 1:
            other = 1 - core
            tables[other] = like(own)
            nisa.sendrecv(src=own, dst=tables[other], send_to_rank=other, recv_from_rank=other, pipe_id=0)
        return tables[: len(self._groups.all) - len(self.tables)]

    def _add(self, sums: list[Any], rows: Any, columns: Any, values: list[Any], is_first: bool) -> None:
        """Some choices of 128 tokens."""
        count = rows.shape[1]
        ones = _where_equal(self._rows, rows, nl.float32, nisa.engine.gpsimd)
        is_there = _where_equal(self._columns, columns, nl.float16, nisa.engine.vector)
        last = len(values) - 1
        moving = [_times(is_there, value, 0 if v == last else count // 2) for v, value in enumerate(values)]
        for k in range(count):
            for total, value in zip(sums, moving, strict=True):
                nisa.nc_matmul(
                    dst=total,
                    stationary=ones[:, k, :],
                    moving=value[:, k, :],
                    is_stationary_onezero=True,
                    accumulate=not is_first or k > 0,
                )


def _where_equal(numbers: Any, places: Any, dtype: Any, engine: Any) -> Any:
    """[128, K, numbers]: 1 where a number is the place of a choice."""
    count, n = places.shape[1], numbers.shape[1]
    result = nl.ndarray((PARTITIONS, count, n), dtype=dtype, buffer=nl.sbuf)
    everywhere = numbers.ap(pattern=[[n, PARTITIONS], [0, count], [1, n]])
    nisa.tensor_tensor(dst=result, data1=everywhere, data2=_repeated(places, n), op=nl.equal, engine=engine)
    return result


def _times(is_there: Any, value: Any, by_gpsimd: int) -> Any:
    """fp32 [128, K, columns]: values [128, K], or [128, 1], where they are.

    Those of the first choices by GpSimd, the others by the Scalar Engine: the Vector Engine has more to do than both.
    """
    _, count, columns = is_there.shape
    result = nl.ndarray((PARTITIONS, count, columns), dtype=nl.float32, buffer=nl.sbuf)
    each = value if value.shape[1] == count else value.broadcast(1, count)
    if by_gpsimd:
        some = slice(0, by_gpsimd)
        nisa.tensor_tensor(
            dst=result[:, some, :], data1=is_there[:, some, :], data2=_repeated(each[:, some], columns),
            op=nl.multiply, engine=nisa.engine.gpsimd,
        )  # fmt: skip
    for k in range(by_gpsimd, count):
        nisa.activation(dst=result[:, k, :], op=nl.copy, data=is_there[:, k, :], scale=each[:, k : k + 1])
    return result


def _repeated(values: Any, times: int) -> Any:
    """[128, K, times] of [128, K]."""
    return values.expand_dim(2).broadcast(2, times)


def less_one(numbers: Any, pad: int) -> Any:
    """int32: numbers that were stored one larger, and `pad` where there is none, 0."""
    is_pad, result = like(numbers), nl.ndarray(tuple(numbers.shape), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=is_pad, data=numbers, op0=nl.equal, operand0=0.0, op1=nl.multiply, operand1=float(pad + 1))
    nisa.scalar_tensor_tensor(dst=result, data=numbers, op0=nl.add, operand0=-1.0, op1=nl.add, operand1=is_pad)
    return result
