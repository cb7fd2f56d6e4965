"""Where results go.

`Overwrite` writes each row once, straight to the output. `Accumulate` adds a token's blocks up in HBM: read the old
rows, add, write. With two cores each accumulates its own slab; one pass at the end adds the slabs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.gather_tokens import TileRing, clear
from nkimoe.kernels.stages.products import DownProducts
from nkimoe.kernels.tensor import DType, ElementOperand, IndexTile, Tensor
from nkimoe.planning.plan import ACCUMULATED, OVERWRITTEN, SHARED, SLABS_RETURNED, Plan
from nkimoe.planning.problem import Problem
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import GOOD_ROW_BYTES, OLD_ROW_SETS, OUTPUT_BYTES, PARTITIONS, Span, spans

Combine = Callable[[Tensor, Tensor, ElementOperand], None]
"""(rows, result, scale): results of some columns go into rows."""
Room = Callable[[IndexTile], tuple[Tensor, Combine]]
"""From an index tile to a tile for those rows, and how results go into it."""


ZERO_COLUMNS = GOOD_ROW_BYTES // OUTPUT_BYTES  # of the tile that zeros are read from: one run, read again and again
# Elements of a partition that one transfer clears. Chosen, not measured: fewer transfers to issue, but whoever reads a
# row waits for all of the transfer that clears it, 8 MiB.
ZEROS_AT_ONCE = 32768
# Tiles of both slabs that are loaded ahead of their sum. Chosen, not measured: one pair arrives while another is waited
# for; each more is two tiles of SBUF.
SUMS_AHEAD = 2


class Slab:
    """Columns `columns` of rows [rows, H] in an HBM tensor; rows are `pitch` elements apart, the first at `offset`."""

    def __init__(self, tensor: Tensor, rows: int, columns: Span, pitch: int, offset: int = 0) -> None:
        self.tensor, self.rows, self.columns = tensor, rows, columns
        self._pitch, self._offset = pitch, offset + columns.start

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
        """Rows `ids` [128, 1]; ids of `limit` and more, and negative ones, are out of bounds.

        A toolchain that checks bounds against the whole tensor writes pad results to the pad row instead, whose
        content means nothing.
        """
        bounded = self.tensor.reshape((self.rows, self._pitch))[0:limit, :]
        return bounded.ap(
            pattern=[[self._pitch, PARTITIONS], [1, self.columns.size]],
            offset=self._offset,
            vector_offset=ids,
            indirect_dim=0,
        )


class Update:
    """New values for the rows of one tile of 128 slots, written once every column has been added."""

    def __init__(self, output: Output, ids: IndexTile, scale: ElementOperand, room: Room, name: str) -> None:
        self._output, self._ids, self._scale, self._name = output, ids, scale, name
        self._rows, self._combine = room(ids)

    def add(self, columns: Span, result: Tensor) -> None:
        """new = result * scale (+ old), rounded once. Columns come in order; the last ones write."""
        own = self._output.slab.columns
        self._combine(self._rows[:, columns.start - own.start : columns.stop - own.start], result, self._scale)
        if columns.stop == own.stop:
            self._write()

    def _write(self) -> None:
        """Scatter the rows; pad slots are out of bounds and write nothing."""
        rows = self._output.slab.at(self._ids, self._output.tokens)
        nisa.dma_copy(dst=rows, src=self._rows, oob_mode=nisa.oob_mode.skip, name=self._name)


def drain(products: DownProducts, updates: list[Update]) -> None:
    """Ask for all down products and add them to the rows of their token tiles."""
    for product in products:
        updates[product.tile].add(product.columns, product.data)


def _replace(new: Tensor, result: Tensor, scale: ElementOperand) -> None:
    nisa.tensor_scalar(dst=new, data=result, op0=nl.multiply, operand0=scale)


def _add(rows: Tensor, result: Tensor, scale: ElementOperand) -> None:
    """`rows` holds the old values."""
    nisa.scalar_tensor_tensor(dst=rows, data=result, op0=nl.multiply, operand0=scale, op1=nl.add, operand1=rows)


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
        """A tile [128, columns] for rows `ids`, and how results go into it."""
        return self.fresh_rows(ids)

    def fresh_rows(self, ids: IndexTile) -> tuple[Tensor, Combine]:
        """The same for rows that hold nothing yet."""
        tile = nl.ndarray((PARTITIONS, self.slab.columns.size), dtype=self.dtype, buffer=nl.sbuf)
        return tile, _replace

    def rewind(self) -> None:
        """A device loop begins its body."""

    def updates(self, ids: list[IndexTile], scales: Sequence[ElementOperand], room: Room, name: str) -> list[Update]:
        """One update for each index tile, its results multiplied by a scale; `room` is `rows` or `fresh_rows`."""
        return [Update(self, i, scale, room, name) for i, scale in zip(ids, scales, strict=True)]

    def finish(self) -> Tensor:
        """The finished output."""
        return self.tensor


class Overwrite(Output):
    """Every row has one writer. Both cores write one slab, so zeros come first, behind a barrier."""

    def begin(self) -> None:
        _clear(self.slab, _my_share(self.slab.rows))
        if nl.num_programs(0) > 1:
            nisa.core_barrier(data=self.tensor, cores=(0, 1))


class OverwriteColumns(Output):
    """Every row has one writer for each half of its columns, which this core clears itself."""

    def begin(self) -> None:
        _clear(self.slab, spans(self.slab.rows, PARTITIONS))


class Accumulate(Output):
    """Rows are read, added to and written back; only this core touches the slab."""

    def __init__(self, tensor: Tensor, slab: Slab, tokens: int, dtype: DType, buffers: int) -> None:
        super().__init__(tensor, slab, tokens, dtype)
        self._ring = TileRing(buffers, (PARTITIONS, slab.columns.size), dtype, clear)

    def begin(self) -> None:
        _clear(self.slab, spans(self.slab.rows, PARTITIONS))

    def fresh_rows(self, ids: IndexTile) -> tuple[Tensor, Combine]:
        return self._ring.take(), _replace

    def rows(self, ids: IndexTile) -> tuple[Tensor, Combine]:
        old = self._ring.take()
        nisa.dma_copy(dst=old, src=self.slab.at(ids, self.tokens), oob_mode=nisa.oob_mode.skip)
        return old, _add

    def rewind(self) -> None:
        self._ring.rewind()


class AccumulateDisjoint(Accumulate):
    """The caller promises that no token has blocks on both cores, so both may accumulate in one slab."""

    def begin(self) -> None:
        _clear(self.slab, _my_share(self.slab.rows))
        nisa.core_barrier(data=self.tensor, cores=(0, 1))


class AccumulateSlabs(Accumulate):
    """Each core accumulates its own slab; at the end slab 0 receives the sum.

    Attributes:
        slabs: of both cores.
        leftover: what becomes of rows of slab 1 once they are added.
    """

    def __init__(
        self,
        tensor: Tensor,
        slabs: list[Slab],
        tokens: int,
        dtype: DType,
        buffers: int,
        leftover: Callable[[Slab, Span], None],
    ) -> None:
        super().__init__(tensor, slabs[nl.program_id(0)], tokens, dtype, buffers)
        self.slabs, self._leftover = slabs, leftover

    def finish(self) -> Tensor:
        """Both cores add half of the rows each."""
        tensors = [slab.tensor for slab in self.slabs]  # a barrier orders the tensor it names
        for tensor in tensors[:1] if tensors[0] is tensors[1] else tensors:
            nisa.core_barrier(data=tensor, cores=(0, 1))
        shares = _my_share(self.slabs[0].rows)
        loaded = [self._load(span) for span in shares[:SUMS_AHEAD]]
        for i, span in enumerate(shares):
            loaded += [self._load(later) for later in shares[i + SUMS_AHEAD : i + SUMS_AHEAD + 1]]
            total, other = loaded.pop(0)
            nisa.tensor_tensor(dst=total, data1=total, data2=other, op=nl.add)
            _store(self.slabs[0].part(span), total)
            self._leftover(self.slabs[1], span)
        return self.tensor

    def _load(self, span: Span) -> list[Tensor]:
        """Some rows of both slabs."""
        tiles = []
        for slab in self.slabs:
            tile = nl.ndarray((span.size, slab.columns.size), dtype=self.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=tile, src=slab.part(span))
            tiles.append(tile)
        return tiles


def _my_share(rows: int) -> list[Span]:
    """Tiles of at most 128 rows; with two cores every other one."""
    return spans(rows, PARTITIONS)[nl.program_id(0) :: nl.num_programs(0)]


def _clear(slab: Slab, parts: list[Span]) -> None:
    """Zero these rows of the slab, from a narrow tile that is read again and again, through a queue of its own."""
    size = slab.columns.size
    width = next(size // n for n in range(1, size + 1) if size % n == 0 and size // n <= ZERO_COLUMNS)
    zeros = nl.ndarray((min(PARTITIONS, slab.rows), width), dtype=slab.tensor.dtype, buffer=nl.sbuf)
    nisa.memset(dst=zeros, value=0)
    at_once = max(1, ZEROS_AT_ONCE // size)
    whole = [span for span in parts if span.size == PARTITIONS]
    groups = [whole[i : i + at_once] for i in range(0, len(whole), at_once)] + [[span] for span in parts[len(whole) :]]
    for some in groups:
        source = zeros.ap(pattern=[[width, some[0].size], [0, len(some) * size // width], [1, width]])
        nisa.dma_copy(dst=slab.tiles(some), src=source, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar)


def _store(dst: Tensor, src: Tensor) -> None:
    """dst = src in the queue of gathers and scatters, so that no load of weights waits behind it."""
    nisa.dma_copy(dst=dst, src=src, dge_mode=nisa.dge_mode.swdge)


def _leave(slab: Slab, span: Span) -> None:
    """Scratch is not read again."""


def _clear_rows(slab: Slab, span: Span) -> None:
    _clear(slab, [span])


def slabs_in_rows(p: Problem, dtype: DType) -> tuple[Tensor, list[Slab]]:
    """[T', cores, H]."""
    tensor = nl.ndarray((p.rows, p.cores, p.H), dtype=dtype, buffer=nl.shared_hbm, name="output")
    return tensor, [Slab(tensor, p.rows, Span(0, p.H), p.cores * p.H, c * p.H) for c in range(p.cores)]


def slabs_one_after_another(p: Problem, dtype: DType) -> tuple[Tensor, list[Slab]]:
    """[cores, T', H]."""
    tensor = nl.ndarray((p.cores, p.rows, p.H), dtype=dtype, buffer=nl.shared_hbm, name="output")
    return tensor, [Slab(tensor[c], p.rows, Span(0, p.H), p.H) for c in range(p.cores)]


MakeSlabs = Callable[[Problem, DType], tuple[Tensor, list[Slab]]]
"""The tensor with a slab for each core; which layout nkilib gives it depends on the numerics."""


def make_output(request: Request, plan: Plan, make_slabs: MakeSlabs) -> Output:
    """Allocate the output the request asks for and choose how it is updated."""
    p, dtype, buffers = plan.problem, request.hidden_states.dtype, OLD_ROW_SETS * plan.tiling.token_tiles
    everything = Span(0, p.H)
    if plan.output == SLABS_RETURNED:
        tensor, slabs = make_slabs(p, dtype)
        if p.cores == 1:
            return Accumulate(tensor, slabs[0], p.T, dtype, buffers)
        return AccumulateSlabs(tensor, slabs, p.T, dtype, buffers, _clear_rows)
    tensor = nl.ndarray((p.rows, p.H), dtype=dtype, buffer=nl.shared_hbm, name="output")
    slab = Slab(tensor, p.rows, plan.share_of(nl.program_id(0)).written, p.H)
    if plan.output == OVERWRITTEN:
        kind = OverwriteColumns if plan.halves_intermediate else Overwrite
        return kind(tensor, slab, p.T, dtype)
    if plan.output == ACCUMULATED:
        return Accumulate(tensor, slab, p.T, dtype, buffers)
    if plan.output == SHARED:
        return AccumulateDisjoint(tensor, slab, p.T, dtype, buffers)
    scratch = nl.ndarray((p.rows, p.H), dtype=dtype, buffer=nl.shared_hbm, name="output_of_core_1")
    slabs = [slab, Slab(scratch, p.rows, everything, p.H)]
    return AccumulateSlabs(tensor, slabs, p.T, dtype, buffers, _leave)
