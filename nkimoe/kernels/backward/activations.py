# SPDX-License-Identifier: Apache-2.0
"""The gate and up projections that the forward pass kept, as rows of tokens."""

from __future__ import annotations

from collections.abc import Iterator

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.backward.routing import BackwardStep
from nkimoe.kernels.stages.gather_tokens import clear
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.backward.plan import BackwardPlan
from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.backward.tiling import ACTIVATION_SETS
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div, spans


class Activations:
    """Kept activations of some columns of I and some tiles of slots; the next part's arrive in another tile."""

    def __init__(self, request: BackwardRequest, plan: BackwardPlan) -> None:
        self._request, self._kept = request, request.gate_up_activations_T
        tiles = ceil_div(request.projections * plan.tiling.columns, PARTITIONS)
        shape = (PARTITIONS, tiles, plan.tiling.token_tiles * PARTITIONS)
        self._tiles = [nl.ndarray(shape, dtype=self._kept.dtype, buffer=nl.sbuf) for _ in range(ACTIVATION_SETS)]
        for tile in self._tiles:
            clear(tile)  # there are no slots behind the end of a block

    def load(self, step: BackwardStep | None) -> None:
        """Start loading what a step needs; its tile is free."""
        if step is None:
            return
        _, _, I, B = self._kept.shape
        self._tiles.append(self._tiles.pop(0))
        slots = Span(step.part.tiles.start * PARTITIONS, step.part.slots)
        for which in range(self._request.projections):
            row = (step.block.number * 2 + self._request.first_projection + which) * I + step.inner.start
            for at, place, size, count in _rows(which * step.inner.size, step.inner.size):
                source = self._kept.ap(
                    pattern=[[B, size], [PARTITIONS * B, count], [1, slots.size]],
                    offset=(row + at) * B + slots.start,
                )
                tile, partition = divmod(place, PARTITIONS)
                dst = self._tiles[-1][partition : partition + size, tile : tile + count, 0 : slots.size]
                nisa.dma_copy(dst=dst, src=source)

    def rows(self, step: BackwardStep) -> Iterator[Tensor]:
        """For each tile of slots, gate and up one after the other: PSUM [128 slots, columns]. Loaded last."""
        width = self._request.projections * step.inner.size
        for t in range(step.tiles):
            rows = nl.ndarray((PARTITIONS, width), dtype=self._kept.dtype, buffer=nl.psum)
            for tile, columns in enumerate(spans(width, PARTITIONS)):
                data = self._tiles[-1][0 : columns.size, tile, t * PARTITIONS : (t + 1) * PARTITIONS]
                nisa.nc_transpose(dst=rows[:, columns.slice], data=data, engine=nisa.engine.tensor)
            yield rows


def _rows(first: int, total: int) -> list[tuple[int, int, int, int]]:
    """Rows first .. first + total - 1 of tiles of 128: (how many before, first row, rows a tile, tiles) of each group.

    >>> _rows(192, 192)
    [(0, 192, 64, 1), (64, 256, 128, 1)]
    """
    head = min(-first % PARTITIONS, total)
    whole, tail = divmod(total - head, PARTITIONS)
    middle = head + whole * PARTITIONS
    groups = [(0, first, head, 1), (head, first + head, PARTITIONS, whole), (middle, first + middle, tail, 1)]
    return [group for group in groups if group[2] and group[3]]
