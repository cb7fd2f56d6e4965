"""act(gate) * up on its way to the down projection."""

from __future__ import annotations

from typing import Any

import nki.language as nl

from nkimoe.kernels.stages.dense.inputs import Quantised, Unquantised
from nkimoe.planning.tiling import PARTITIONS, ceil_div


class Hidden:
    """Columns of I on partitions.

    Attributes:
        tile: [128, I/128, tokens], column i on partition i % 128.
    """

    def __init__(self, inputs: Unquantised | Quantised, inner: int, tokens: int) -> None:
        self._inputs = inputs
        self.tile = nl.ndarray((PARTITIONS, ceil_div(inner, PARTITIONS), tokens), dtype=inputs.dtype, buffer=nl.sbuf)

    def stage(self, projection: Any) -> Any:
        """Where the values of a projection go."""
        return self._inputs.stage(self._place(projection))

    def settle(self, projection: Any, staged: Any) -> None:
        """They are there."""
        self._inputs.settle(self._place(projection), staged)

    def _place(self, projection: Any) -> Any:
        return self.tile[0 : projection.data.shape[0], projection.tile, projection.tokens.slice]
