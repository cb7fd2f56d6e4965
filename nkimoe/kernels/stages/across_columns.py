# SPDX-License-Identifier: Apache-2.0
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
        """fp32 [128, tokens] in SBUF of tiles [tokens, 1], one after the other, bits as they were."""
        total = sum(value.shape[0] for value in values)
        columns: Tensor = nl.ndarray((PARTITIONS, total), dtype=nl.float32, buffer=nl.sbuf)
        first = 0
        for value in values:
            nisa.tensor_copy(dst=columns[:, first : first + value.shape[0]], src=self.bank_of([value]))
            first += value.shape[0]
        return columns

    def bank_of(self, values: Sequence[Tensor]) -> Tensor:
        """The same of up to 512 tokens, left in PSUM."""
        total = sum(value.shape[0] for value in values)
        columns: Tensor = nl.ndarray((PARTITIONS, total), dtype=nl.float32, buffer=nl.psum)
        first = 0
        for value in values:
            n = value.shape[0]
            repeated = nl.ndarray((n, PARTITIONS), dtype=nl.float32, buffer=nl.sbuf)  # the PE loads no step of 0
            nisa.tensor_copy(dst=repeated, src=value.broadcast(1, PARTITIONS))
            nisa.nc_matmul(
                dst=columns[:, first : first + n], stationary=repeated, moving=self._identity[0:n, 0:n],
                is_moving_onezero=True,
            )  # fmt: skip
            first += n
        return columns
