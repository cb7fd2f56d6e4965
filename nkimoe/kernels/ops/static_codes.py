# SPDX-License-Identifier: Apache-2.0
"""x / scale as fp8, with one scale that is given: rows over partitions, some columns at a time; cores take turns."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.shared_tensors import name_scope, shared_tensor
from nkimoe.kernels.stages.gather_tokens import TileRing, leave
from nkimoe.kernels.stages.quantise import Fp8Quantiser
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS, spans

COLUMNS = 8192  # at a time: two tiles of fp32 beside two of codes


def run(x: Tensor, scale: Tensor, dtype: str) -> Tensor:
    """Codes [rows, columns] of x [rows, columns]; scale: fp32, one number."""
    rows, columns = x.shape
    with name_scope("downcast_to_static_fp8"):
        codes = shared_tensor((max(rows, 1), columns), getattr(nl, dtype), "codes")
    of_all: Tensor = nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=of_all, src=scale.ap(pattern=[[0, PARTITIONS], [1, 1]]))
    quantiser = Fp8Quantiser(dtype, of_all)
    quantiser.derive()
    shape = (PARTITIONS, min(columns, COLUMNS))
    values, coded = TileRing(2, shape, x.dtype, leave), TileRing(2, shape, codes.dtype, leave)
    tiles = [(own, part) for own in spans(rows, PARTITIONS) for part in spans(columns, COLUMNS)]
    for own, part in tiles[nl.program_id(0) :: nl.num_programs(0)]:
        value, code = (ring.take()[0 : own.size, 0 : part.size] for ring in (values, coded))
        nisa.dma_copy(dst=value, src=x[own.slice, part.slice])
        quantiser.quantise(code, value)
        nisa.dma_copy(dst=codes[own.slice, part.slice], src=code)
    return codes[0:rows, :]
