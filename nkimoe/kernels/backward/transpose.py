"""Transposes on the Tensor Engine, several in a PSUM bank and out of it in one pass."""

from __future__ import annotations

from collections.abc import Iterator

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PSUM_BANK_BYTES, spans

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


def transpose(dst: Tensor, sources: list[Tensor]) -> Iterator[None]:
    """dst [P, n, m] = the transposes of n tiles [m, P], cast; one bank at a time."""
    P, _, m = dst.shape
    dtype = sources[0].dtype
    for bank in spans(len(sources), PSUM_BANK_BYTES // (m * BYTES[str(dtype)])):
        turned = nl.ndarray((P, bank.size, m), dtype=dtype, buffer=nl.psum)
        for k in range(bank.size):
            nisa.nc_transpose(dst=turned[:, k, :], data=sources[bank.start + k], engine=nisa.engine.tensor)
        nisa.tensor_copy(dst=dst[:, bank.slice, :], src=turned, engine=nisa.engine.scalar)
        yield
