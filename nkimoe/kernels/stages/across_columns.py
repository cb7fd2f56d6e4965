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
        """fp32 [128, n * 128] in SBUF of n tiles [128, 1]: token t of tile i is column 128 i + t, bits as they were."""
        columns: Tensor = nl.ndarray((PARTITIONS, len(values) * PARTITIONS), dtype=nl.float32, buffer=nl.sbuf)
        for t, value in enumerate(values):
            nisa.tensor_copy(dst=columns[:, t * PARTITIONS : (t + 1) * PARTITIONS], src=self.bank_of([value]))
        return columns

    def bank_of(self, values: Sequence[Tensor]) -> Tensor:
        """The same of up to four tiles, left in PSUM."""
        columns: Tensor = nl.ndarray((PARTITIONS, len(values) * PARTITIONS), dtype=nl.float32, buffer=nl.psum)
        for t, value in enumerate(values):
            nisa.nc_matmul(
                dst=columns[:, t * PARTITIONS : (t + 1) * PARTITIONS], stationary=value.broadcast(1, PARTITIONS),
                moving=self._identity, is_moving_onezero=True,
            )  # fmt: skip
        return columns
