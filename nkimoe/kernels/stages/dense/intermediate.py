# SPDX-License-Identifier: Apache-2.0
"""act(gate) * up on its way to the down projection."""

from __future__ import annotations

import nki.language as nl

from nkimoe.kernels.stages.dense.inputs import DenseInputs
from nkimoe.kernels.stages.products import GateUpProduct
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import ceil_div


class Intermediate:
    """Columns of I on partitions: [rows, I/rows, tokens], column i on partition i % rows, of `Tiling.inner_rows`."""

    def __init__(self, inputs: DenseInputs, rows: int, inner: int, tokens: int) -> None:
        self._inputs = inputs
        shape = (rows, ceil_div(inner, rows), tokens)
        self._operand: Tensor = nl.ndarray(shape, dtype=inputs.dtype, buffer=nl.sbuf)

    def room_for(self, product: GateUpProduct) -> Tensor:
        """Where the values that come of a product go."""
        return self._inputs.room_for(self._place(product))

    def keep(self, product: GateUpProduct, values: Tensor) -> None:
        """They are there."""
        self._inputs.keep(self._place(product), values)

    def settle(self) -> None:
        """Nothing to compute."""

    def operand(self) -> Tensor:
        """All of them."""
        return self._operand

    def _place(self, product: GateUpProduct) -> Tensor:
        return self._operand[0 : product.data.shape[0], product.tile, product.tokens.slice]
