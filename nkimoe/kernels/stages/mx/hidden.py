"""act(gate) * up on its way to the down projection."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.mx.inputs import Inputs
from nkimoe.planning.mx.tiling import QUADRANT, QUARTERS, InnerTile
from nkimoe.planning.tiling import PARTITIONS


class Hidden:
    """Packed rows of I on partitions, quantised once their four columns are there.

    Attributes:
        tile: the operand [128, tiles, tokens].
    """

    def __init__(self, inputs: Inputs, inner: list[InnerTile], tokens: int) -> None:
        self._inputs, self._inner = inputs, inner
        self.tile = inputs.room(len(inner), tokens)
        self._staged: Any = None

    def stage(self, projection: Any) -> Any:
        """Where the values of a projection go: one of four columns for each token."""
        at, quarter = divmod(projection.tile, QUARTERS)
        if quarter == 0:
            shape = (PARTITIONS, projection.tokens.size, QUARTERS)
            self._staged = nl.ndarray(shape, dtype=self._inputs.dtype, buffer=nl.sbuf)
            rows, padded = self._inner[at].rows, self._inner[at].padded_rows
            if rows < padded:
                nisa.memset(dst=self._staged[padded - QUADRANT : padded], value=0)
        return self._staged[0 : self._inner[at].rows, :, quarter]

    def settle(self, projection: Any, staged: Any) -> None:
        """A projection is staged; the fourth one completes the rows."""
        at, quarter = divmod(projection.tile, QUARTERS)
        if quarter == QUARTERS - 1:
            rows = slice(0, self._inner[at].padded_rows)
            values = self._staged[rows].reshape((rows.stop, projection.tokens.size * QUARTERS))
            self._inputs.store(self.tile.part(rows, at, projection.tokens.slice), values)
