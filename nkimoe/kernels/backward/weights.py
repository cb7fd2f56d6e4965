# SPDX-License-Identifier: Apache-2.0
"""The weights of the expert at hand, with the dimension they are contracted over on partitions.

That is the other one than in the forward pass: weights are loaded as they lie in HBM, once a run of blocks, and turned
on chip for each block, since a program cannot branch on whether the expert is a new one.
"""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.backward.emission import Emission
from nkimoe.kernels.backward.routing import BackwardStep
from nkimoe.kernels.backward.transpose import transpose
from nkimoe.kernels.stages.expert_vectors import row_tiles
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.backward.plan import BackwardPlan
from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div, spans


class TurnedWeights:
    """Gate/up and down weights of some columns of I; the down bias is one more row of the down weights.

    Attributes:
        gate_up: [128, tiles, H], column c of gate and up, one after the other, on partition c % 128.
    """

    def __init__(self, request: BackwardRequest, plan: BackwardPlan) -> None:
        self._request, self._H, self._I = request, plan.problem.H, plan.problem.I
        H, columns, dtype = self._H, plan.tiling.columns, request.hidden_states.dtype
        width, rows = request.projections * columns, columns + (request.down_proj_bias is not None)
        self._gate_up = _tile(H // PARTITIONS, width, dtype)
        self._down = _tile(ceil_div(rows, PARTITIONS), H, dtype)
        self.gate_up = _tile(ceil_div(width, PARTITIONS), H, request.compute_dtype)
        self._down_turned = _tile(H // PARTITIONS, rows, request.compute_dtype)

    def rows_of(self, inner: Span) -> int:
        """Rows of the down weights: columns of I, and the bias with the first ones."""
        return inner.size + (self._request.down_proj_bias is not None and inner.start == 0)

    def load_gate_up(self, step: BackwardStep | None) -> None:
        """Start loading what a step needs that is not there."""
        if step is not None and step.part.opens_block:
            q, I, H, inner = self._request.projections, self._I, self._H, step.inner
            source = self._request.gate_up_proj_weight.ap(
                pattern=[[2 * I, PARTITIONS], [PARTITIONS * 2 * I, H // PARTITIONS], [I, q], [1, inner.size]],
                offset=self._request.first_projection * I + inner.start,
                scalar_offset=step.block.expert_to_load,
                indirect_dim=0,
            )
            nisa.dma_copy(dst=self._gate_up[:, :, 0 : q * inner.size], src=source, oob_mode=nisa.oob_mode.skip)

    def load_down(self, step: BackwardStep | None) -> None:
        """Likewise."""
        if step is None or not step.part.opens_block:
            return
        expert, H, inner = step.block.expert_to_load, self._H, step.inner
        for first, rows, count in row_tiles(inner.size):
            source = self._request.down_proj_weight.ap(
                pattern=[[H, rows], [PARTITIONS * H, count], [1, H]],
                offset=(inner.start + first * PARTITIONS) * H,
                scalar_offset=expert,
                indirect_dim=0,
            )
            nisa.dma_copy(dst=self._down[0:rows, first : first + count, :], src=source, oob_mode=nisa.oob_mode.skip)
        if self.rows_of(inner) > inner.size:
            tile, row = divmod(inner.size, PARTITIONS)
            source = self._request.down_proj_bias.ap(pattern=[[H, 1], [1, H]], scalar_offset=expert, indirect_dim=0)
            nisa.dma_copy(dst=self._down[row : row + 1, tile, :], src=source, oob_mode=nisa.oob_mode.skip)

    def turn_down(self, step: BackwardStep) -> Emission:
        """Turn the down weights of a step's expert, unless the part before did."""
        if step.part.opens_block:
            for tile, span in enumerate(spans(self.rows_of(step.inner), PARTITIONS)):
                sources = [self._down[0 : span.size, tile, h.slice] for h in spans(self._H, PARTITIONS)]
                yield from transpose(self._down_turned[:, :, span.slice], sources)

    def turn_gate_up(self, step: BackwardStep) -> Emission:
        """Likewise gate and up."""
        if step.part.opens_block:
            width, h_tiles = self._request.projections * step.inner.size, self._H // PARTITIONS
            by_tile = self.gate_up.reshape((PARTITIONS, self.gate_up.shape[1], h_tiles, PARTITIONS))
            for tile, span in enumerate(spans(width, PARTITIONS)):
                sources = [self._gate_up[:, k, span.slice] for k in range(h_tiles)]
                yield from transpose(by_tile[0 : span.size, tile, :, :], sources)

    def down(self, step: BackwardStep) -> Tensor:
        """[128, H/128, rows]: row h of H on partition h % 128."""
        return self._down_turned[:, :, 0 : self.rows_of(step.inner)]


def _tile(tiles: int, columns: int, dtype: DType) -> Tensor:
    return nl.ndarray((PARTITIONS, tiles, columns), dtype=dtype, buffer=nl.sbuf)
