"""What partitions hold, along columns: a value of each token beside the tokens in the free dimension."""

from __future__ import annotations

from collections.abc import Sequence

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS


class AcrossColumns:
    """A matmul with the identity moves values from partitions to columns, and repeats them on all partitions."""

    def __init__(self) -> None:
        self._identity: Tensor = nl.shared_identity_matrix(PARTITIONS, dtype=nl.float32)

    def of(self, values: Sequence[Tensor]) -> Tensor:
        """fp32 [128, n * 128] of n tiles [128, 1]: token t of tile i is column 128 i + t, its bits unchanged."""
        columns: Tensor = nl.ndarray((PARTITIONS, len(values) * PARTITIONS), dtype=nl.float32, buffer=nl.sbuf)
        for t, value in enumerate(values):
            across = nl.ndarray((PARTITIONS, PARTITIONS), dtype=nl.float32, buffer=nl.psum)
            nisa.nc_matmul(dst=across, stationary=_repeated(value), moving=self._identity, is_moving_onezero=True)
            nisa.tensor_copy(dst=columns[:, t * PARTITIONS : (t + 1) * PARTITIONS], src=across)
        return columns


def _repeated(column: Tensor) -> Tensor:
    """[128, 1] seen as [128, 128]."""
    tile = nl.ndarray((PARTITIONS, 1), dtype=column.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=tile, src=column)
    return tile.ap(pattern=[[1, PARTITIONS], [0, PARTITIONS]])
