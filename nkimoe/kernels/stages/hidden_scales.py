# SPDX-License-Identifier: Apache-2.0
"""Scales of quantised activations that the caller gives for each token: they multiply the products of its rows."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.across_columns import AcrossColumns
from nkimoe.kernels.stages.gather_tokens import gather_values
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.products import DownProducts
from nkimoe.kernels.tensor import OutOfBounds, Tensor
from nkimoe.planning.hidden_scales import of_tokens
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import PARTITIONS


class HiddenScales:
    """Those of a request, gathered for each part.

    Args:
        out_of_bounds: what a gather does with pad ids.
    """

    def __init__(self, request: Request, out_of_bounds: OutOfBounds) -> None:
        rows, self._out_of_bounds = int(request.hidden_states.shape[0]), out_of_bounds
        self._gate_up: Tensor | None = of_tokens(request.gate_up_hidden_scale, rows)
        self._down: Tensor | None = of_tokens(request.down_hidden_scale, rows)
        self._across = None if self._gate_up is None else AcrossColumns()

    def columns(self, affinities: Tensor | None, part: Part) -> Tensor | None:
        """What multiplies the gate and up projections before their bias, fp32 [128, tokens]; affinities join."""
        if self._gate_up is None or self._across is None:
            return affinities
        columns = self._across.of(self._of(self._gate_up, part))
        if affinities is not None:
            nisa.tensor_tensor(dst=columns, data1=columns, data2=affinities, op=nl.multiply)
        return columns

    def beside(self, products: DownProducts, part: Part) -> DownProducts:
        """Down products, each with the scale of its tokens, which is still to multiply."""
        scales = None if self._down is None else self._of(self._down, part)
        for product in products:
            yield product if scales is None else product._replace(scale=scales[product.tile])

    def _of(self, source: Tensor, part: Part) -> list[Tensor]:
        """fp32 [slots, 1] for each tile of slots; 0 for slots that are skipped."""
        tile: Tensor = nl.ndarray((PARTITIONS, part.tiles.size), dtype=nl.float32, buffer=nl.sbuf)
        gather_values(tile, source, part.ids, self._out_of_bounds)
        return [tile[0 : ids.shape[0], t : t + 1] for t, ids in enumerate(part.ids)]
