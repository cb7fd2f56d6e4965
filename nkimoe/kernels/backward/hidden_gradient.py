# SPDX-License-Identifier: Apache-2.0
"""The gradient of the hidden states: a token's blocks are added up in HBM, in fp32, in a slab a core."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.backward.emission import Emission
from nkimoe.kernels.backward.routing import BackwardStep
from nkimoe.kernels.backward.zeros import Zeros
from nkimoe.kernels.shared_tensors import shared_tensor
from nkimoe.kernels.stages.contract import contract
from nkimoe.kernels.stages.gather_tokens import TileRing, clear
from nkimoe.kernels.stages.update_output import SUMS_AHEAD, Slab
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.backward.plan import BackwardPlan
from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans

# Columns of the slabs that are added at a time. Chosen, not measured: 8 KiB runs of HBM, against SBUF for
# LOADED_AHEAD + 1 pairs of such tiles.
SUMMED = 2048
LOADED_AHEAD = SUMS_AHEAD  # sums whose terms are on their way


class HiddenGradient:
    """One core's slab [T', H], and at the end the sum of both in the tensor that is returned."""

    def __init__(self, request: BackwardRequest, plan: BackwardPlan, target: Tensor) -> None:
        p = plan.problem
        self._target, self._tokens, self._H = target, p.T, p.H
        everything = Span(0, p.H)
        self._slabs = [
            Slab(
                shared_tensor((p.rows, p.H), nl.float32, f"hidden_gradient_{core}"),
                p.rows, everything, p.H,
            )
            for core in range(p.cores)
        ]  # fmt: skip
        self._ring = TileRing(plan.tiling.token_tiles, (PARTITIONS, p.H), nl.float32, clear)

    @property
    def _own(self) -> Slab:
        return self._slabs[nl.program_id(0)]

    def clear(self, zeros: Zeros) -> None:
        """Begin with zeros."""
        for span in spans(self._own.rows, PARTITIONS):
            zeros.write(self._own.part(span), self._H)

    def load(self, step: BackwardStep | None) -> None:
        """Start loading what was added up so far for the tokens of a part; pad slots get what was there before."""
        if step is None:
            return
        self._so_far = [self._ring.take() for _ in range(step.tiles)]
        for tile, ids in zip(self._so_far, step.ids, strict=True):
            nisa.dma_copy(dst=tile, src=self._own.at(ids, self._tokens), oob_mode=nisa.oob_mode.skip)

    def add(self, step: BackwardStep, d_first: Tensor, gate_up: Tensor, width: int) -> Emission:
        """+= d Wgu.T for the part loaded last, piece by piece.

        Args:
            d_first, gate_up: [128, tiles, tokens] and [128, tiles, H], columns of gate and up on partitions.
            width: how many columns.
        """
        for t, (total, ids) in enumerate(zip(self._so_far, step.ids, strict=True)):
            slots = Span(t * PARTITIONS, PARTITIONS)
            for columns in spans(self._H, PSUM_COLUMNS):
                product = nl.ndarray((PARTITIONS, columns.size), dtype=nl.float32, buffer=nl.psum)
                contract(product, d_first[:, :, slots.slice], gate_up[:, :, columns.slice], Span(0, width), 1)
                term = nl.ndarray((PARTITIONS, columns.size), dtype=nl.float32, buffer=nl.sbuf)
                nisa.tensor_copy(dst=term, src=product, engine=nisa.engine.scalar)
                part = total[:, columns.slice]
                nisa.tensor_tensor(dst=part, data1=part, data2=term, op=nl.add, engine=nisa.engine.gpsimd)
                yield
            nisa.dma_copy(dst=self._own.at(ids, self._tokens), src=total, oob_mode=nisa.oob_mode.skip)

    def finish(self) -> None:
        """Round the sum of all slabs; with two cores each core half of the rows."""
        if len(self._slabs) > 1:
            for slab in self._slabs:
                nisa.core_barrier(data=slab.tensor, cores=(0, 1))
        rows = spans(self._own.rows, PARTITIONS)[nl.program_id(0) :: nl.num_programs(0)]
        places = [(span, columns) for span in rows for columns in spans(self._H, SUMMED)]
        loaded = [self._load(*place) for place in places[:LOADED_AHEAD]]
        for n, (span, columns) in enumerate(places):
            loaded += [self._load(*later) for later in places[n + LOADED_AHEAD : n + LOADED_AHEAD + 1]]
            first, *rest = loaded.pop(0)
            total = nl.ndarray(tuple(first.shape), dtype=self._target.dtype, buffer=nl.sbuf)
            if rest:
                nisa.tensor_tensor(dst=total, data1=first, data2=rest[0], op=nl.add)
            else:
                nisa.tensor_copy(dst=total, src=first)
            nisa.dma_copy(dst=self._target[span.slice, columns.slice], src=total)

    def _load(self, span: Span, columns: Span) -> list[Tensor]:
        tiles = []
        for slab in self._slabs:
            tile = nl.ndarray((span.size, columns.size), dtype=nl.float32, buffer=nl.sbuf)
            nisa.dma_copy(dst=tile, src=slab.tensor[span.slice, columns.slice])
            tiles.append(tile)
        return tiles
