"""Token rows to token columns, so that H is the contraction on partitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.tiling import PARTITIONS, Span, spans


def hidden_rows(tile: int, group: int) -> slice:
    """The rows of H that contraction tile `tile` holds: with groups of g, partition p holds row base + p * g.

    >>> hidden_rows(0, 2), hidden_rows(1, 2)
    (slice(0, 255, 2), slice(1, 256, 2))
    """
    start = tile // group * PARTITIONS * group + tile % group
    return slice(start, start + (PARTITIONS - 1) * group + 1, group)


def transpose_tokens(rows: Iterable[Any], count: int, layer: Any) -> Any:
    """[128, H/128, tokens] from `count` tiles of rows; partition and tile together name the row of H.

    Only the core's gathered columns of H are filled in; rows are tiles [128 tokens, gathered columns].
    """
    own, tiling, inputs = layer.share.gathered, layer.tiling, layer.weights.gate_up_inputs
    tokens = nl.ndarray(
        (PARTITIONS, layer.problem.H // PARTITIONS, count * PARTITIONS), dtype=inputs.dtype, buffer=nl.sbuf
    )
    first = own.start // PARTITIONS
    for t, row in enumerate(rows):
        for bank in spans(own.size // PARTITIONS, tiling.transposes_per_bank):
            turned = nl.ndarray((PARTITIONS, bank.size, PARTITIONS), dtype=row.dtype, buffer=nl.psum)
            for k in range(bank.size):
                columns = row[:, hidden_rows(bank.start + k, tiling.row_group)]
                nisa.nc_transpose(dst=turned[:, k, :], data=columns, engine=nisa.engine.tensor)
            here = Span(first + bank.start, bank.size)
            inputs.store(tokens[:, here.slice, t * PARTITIONS : (t + 1) * PARTITIONS], turned)
    return tokens
