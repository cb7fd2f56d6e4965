# SPDX-License-Identifier: Apache-2.0
"""Transposes on the Tensor Engine, several in a PSUM bank and out of it in one pass."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.backward.emission import Emission
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.request import COMPUTE_DTYPES
from nkimoe.planning.tiling import PSUM_BANK_BYTES, spans


def transpose(dst: Tensor, sources: list[Tensor]) -> Emission:
    """dst [P, n, m] = the transposes of n tiles [m, P], cast; one bank at a time."""
    P, _, m = dst.shape
    dtype = sources[0].dtype
    for bank in spans(len(sources), PSUM_BANK_BYTES // (m * COMPUTE_DTYPES[str(dtype)])):
        turned = nl.ndarray((P, bank.size, m), dtype=dtype, buffer=nl.psum)
        for k in range(bank.size):
            nisa.nc_transpose(dst=turned[:, k, :], data=sources[bank.start + k], engine=nisa.engine.tensor)
        nisa.tensor_copy(dst=dst[:, bank.slice, :], src=turned, engine=nisa.engine.scalar)
        yield
