# SPDX-License-Identifier: Apache-2.0
"""act(gate) * up on its way to the down product."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.mx.inputs import MxInputs
from nkimoe.kernels.stages.mx.operands import MxOperand
from nkimoe.kernels.stages.products import GateUpProduct
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.mx.tiling import QUARTERS, InnerTile
from nkimoe.planning.tiling import PARTITIONS, QUADRANT


class PackedIntermediate:
    """Packed rows of I on partitions, [128, tiles, tokens], quantised once their four columns are there."""

    def __init__(self, inputs: MxInputs, inner: list[InnerTile], tokens: int) -> None:
        self._inputs, self._inner = inputs, inner
        self._operand = inputs.room(len(inner), tokens)

    def room_for(self, product: GateUpProduct) -> Tensor:
        """Where the values that come of a product go: one of four columns for each token."""
        at, quarter = divmod(product.tile, QUARTERS)
        if quarter == 0:
            shape = (PARTITIONS, product.tokens.size, QUARTERS)
            self._values = nl.ndarray(shape, dtype=self._inputs.dtype, buffer=nl.sbuf)
            rows, padded = self._inner[at].rows, self._inner[at].padded_rows
            if rows < padded:
                nisa.memset(dst=self._values[padded - QUADRANT : padded], value=0)
        return self._values[0 : self._inner[at].rows, :, quarter]

    def keep(self, product: GateUpProduct, values: Tensor) -> None:
        """They are there; the fourth product completes the rows."""
        at, quarter = divmod(product.tile, QUARTERS)
        if quarter == QUARTERS - 1:
            rows = slice(0, self._inner[at].padded_rows)
            packed = self._values[rows].reshape((rows.stop, product.tokens.size * QUARTERS))
            self._inputs.store(self._operand.part(rows, at, product.tokens.slice), packed)

    def settle(self) -> None:
        """Nothing to compute."""

    def operand(self) -> MxOperand:
        """All of them."""
        return self._operand
