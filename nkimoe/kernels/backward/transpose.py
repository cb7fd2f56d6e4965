"""Transposes on the Tensor Engine, several in a PSUM bank and out of it in one pass."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.tiling import PSUM_BANK_BYTES, spans

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
SCALAR, VECTOR = nisa.engine.scalar, nisa.engine.vector


def transpose(dst: Any, sources: list[Any], engines: tuple[Any, ...] = (SCALAR,)) -> None:
    """dst [P, n, m] = the transposes of n tiles [m, P], cast; the engines take turns in moving results out of PSUM."""
    P, _, m = dst.shape
    dtype = sources[0].dtype
    for turn, bank in enumerate(spans(len(sources), PSUM_BANK_BYTES // (m * BYTES[str(dtype)]))):
        turned = nl.ndarray((P, bank.size, m), dtype=dtype, buffer=nl.psum)
        for k in range(bank.size):
            nisa.nc_transpose(dst=turned[:, k, :], data=sources[bank.start + k], engine=nisa.engine.tensor)
        nisa.tensor_copy(dst=dst[:, bank.slice, :], src=turned, engine=engines[turn % len(engines)])
