# SPDX-License-Identifier: Apache-2.0
"""Where results go.

`Overwrite` writes each row once, straight to the output. `Accumulate` adds a token's blocks up in HBM: read the old
rows, add, write. With two cores each accumulates its own slab, and one pass at the end adds the slabs; or each half of
the columns (`ColumnHalves`). `SumOfChoices` keeps a row for each choice of a token, and adds them at the end.
"""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.combine import Combine, add, add_to, replace
from nkimoe.kernels.stages.gather_tokens import TileRing, clear
from nkimoe.kernels.stages.load_routing import Part, put
from nkimoe.kernels.stages.output_rows import Output, Slab, my_share, zero_rows
from nkimoe.kernels.stages.products import DownProduct
from nkimoe.kernels.tensor import DType, ElementOperand, IndexTile, Tensor
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import PARTITIONS, Span, spans

# Tiles of both slabs that are loaded ahead of their sum. Chosen, not measured: one pair arrives while another is waited
# for; each more is two tiles of SBUF.
SUMS_AHEAD = 2


class Overwrite(Output):
    """Every row has one writer. Both cores write one slab, so zeros come first, behind a barrier."""

    def begin(self) -> None:
        zero_rows(self.slab, my_share(self.slab.rows))
        if nl.num_programs(0) > 1:
            nisa.core_barrier(data=self.tensor, cores=(0, 1))


class OverwriteColumns(Output):
    """Every row has one writer for each half of its columns, which this core clears itself."""

    def begin(self) -> None:
        zero_rows(self.slab, spans(self.slab.rows, PARTITIONS))


class AddedToRows(Output):
    """Every row has one writer, who adds it to a row that is given, times a factor."""

    def __init__(self, tensor: Tensor, slab: Slab, tokens: int, dtype: DType, request: Request) -> None:
        super().__init__(tensor, slab, tokens, dtype)
        assert request.added is not None, "the plan says so"
        self._factor = float(request.added.factor)
        self._given = Slab(request.added.rows, slab.rows, slab.columns, request.added.rows.shape[1])

    def begin(self) -> None:
        """Every row is written."""

    def fresh_rows(self, ids: IndexTile) -> tuple[Tensor, Combine]:
        rows, _ = super().fresh_rows(ids)
        given: Tensor = nl.ndarray(tuple(rows.shape), dtype=self._given.tensor.dtype, buffer=nl.sbuf)
        clear(given)
        nisa.dma_copy(dst=given, src=self._given.at(ids, self.tokens), oob_mode=nisa.oob_mode.skip)
        scaled: Tensor = nl.ndarray(tuple(rows.shape), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=scaled, op=nl.copy, data=given, scale=self._factor)

        def combine(new: Tensor, product: DownProduct, scale: ElementOperand) -> None:
            first = product.columns.start - self.slab.columns.start
            add_to(new, product, scale, scaled[:, first : first + product.columns.size])

        return rows, combine


class Accumulate(Output):
    """Rows are read, added to and written back; only this core touches the slab."""

    def __init__(self, tensor: Tensor, slab: Slab, tokens: int, dtype: DType, buffers: int) -> None:
        super().__init__(tensor, slab, tokens, dtype)
        self._ring = TileRing(buffers, (PARTITIONS, slab.columns.size), dtype, clear)

    def begin(self) -> None:
        zero_rows(self.slab, spans(self.slab.rows, PARTITIONS))

    def fresh_rows(self, ids: IndexTile) -> tuple[Tensor, Combine]:
        return self._take(ids), replace

    def rows(self, ids: IndexTile) -> tuple[Tensor, Combine]:
        old = self._take(ids)
        nisa.dma_copy(dst=old, src=self.slab.at(ids, self.tokens), oob_mode=nisa.oob_mode.skip)
        return old, add

    def rewind(self) -> None:
        self._ring.rewind()

    def _take(self, ids: IndexTile) -> Tensor:
        return self._ring.take()[0 : ids.shape[0], :]


class AccumulateDisjoint(Accumulate):
    """The caller promises that no token has blocks on both cores, so both may accumulate in one slab."""

    def begin(self) -> None:
        zero_rows(self.slab, my_share(self.slab.rows))
        nisa.core_barrier(data=self.tensor, cores=(0, 1))


class AccumulateSlabs(Accumulate):
    """Each core accumulates its own slab; at the end slab 0 receives the sum.

    Args:
        slabs: of both cores.
    """

    def __init__(self, tensor: Tensor, slabs: list[Slab], tokens: int, dtype: DType, buffers: int) -> None:
        super().__init__(tensor, slabs[nl.program_id(0)], tokens, dtype, buffers)
        self.slabs = slabs

    def ids_of(self, part: Part) -> list[IndexTile]:
        """Those of pads become -1 where the id of the pad row would be in bounds."""
        if self.slab.begins_tensor or self.tokens == self.slab.rows:
            return part.ids
        return [_without_pads(ids, self.tokens) for ids in part.ids]

    def finish(self) -> Tensor:
        """Both cores add half of the rows each."""
        tensors = [slab.tensor for slab in self.slabs]  # a barrier orders the tensor it names
        for tensor in tensors[:1] if tensors[0] is tensors[1] else tensors:
            nisa.core_barrier(data=tensor, cores=(0, 1))
        shares = my_share(self.slabs[0].rows)
        loaded = [self._load(span) for span in shares[:SUMS_AHEAD]]
        for i, span in enumerate(shares):
            loaded += [self._load(later) for later in shares[i + SUMS_AHEAD : i + SUMS_AHEAD + 1]]
            total, other = loaded.pop(0)
            nisa.tensor_tensor(dst=total, data1=total, data2=other, op=nl.add)
            nisa.dma_copy(dst=self.slabs[0].part(span), src=total)
            self.leave(span)
        return self.tensor

    def _load(self, span: Span) -> list[Tensor]:
        """Some rows of both slabs."""
        tiles = []
        for slab in self.slabs:
            tile = nl.ndarray((span.size, slab.columns.size), dtype=self.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=tile, src=slab.part(span))
            tiles.append(tile)
        return tiles

    def leave(self, span: Span) -> None:
        """Rows of slab 1 have been added; scratch is not read again."""


class ReturnedSlabs(AccumulateSlabs):
    """Slab 1 is returned, too, as zeros."""

    def leave(self, span: Span) -> None:
        zero_rows(self.slabs[1], [span])


def _without_pads(ids: IndexTile, tokens: int) -> IndexTile:
    """-1 for ids of `tokens` and more."""
    shape = tuple(ids.shape)
    real: IndexTile = nl.ndarray(shape, dtype=nl.int32, buffer=nl.sbuf)
    is_pad: Tensor = nl.ndarray(shape, dtype=nl.uint8, buffer=nl.sbuf)
    nisa.tensor_copy(dst=real, src=ids)
    nisa.tensor_scalar(dst=is_pad, data=ids, op0=nl.greater_equal, operand0=float(tokens))
    put(real, -1, is_pad)
    return real
