"""Token rows to token columns, so that H is the contraction on partitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.tiling import PARTITIONS, spans


def hidden_rows(tile: int, group: int) -> slice:
    """The rows of H that contraction tile `tile` holds: with groups of g, partition p holds row base + p * g.

    >>> hidden_rows(0, 2), hidden_rows(1, 2)
    (slice(0, 255, 2), slice(1, 256, 2))
    """
    start = tile // group * PARTITIONS * group + tile % group
    return slice(start, start + (PARTITIONS - 1) * group + 1, group)


def transpose_tokens(rows: Iterable[Any], count: int, layer: Any) -> Any:
    """[128, H/128, tokens] from `count` tiles [128 tokens, H]; partition and tile together name the row of H."""
    tiles, tiling = layer.problem.H // PARTITIONS, layer.tiling
    tokens = nl.ndarray((PARTITIONS, tiles, count * PARTITIONS), dtype=layer.request.compute_dtype, buffer=nl.sbuf)
    for t, row in enumerate(rows):
        for bank in spans(tiles, tiling.transposes_per_bank):
            turned = nl.ndarray((PARTITIONS, bank.size, PARTITIONS), dtype=row.dtype, buffer=nl.psum)
            for k in range(bank.size):
                columns = row[:, hidden_rows(bank.start + k, tiling.row_group)]
                nisa.nc_transpose(dst=turned[:, k, :], data=columns, engine=nisa.engine.tensor)
            nisa.tensor_copy(
                dst=tokens[:, bank.slice, t * PARTITIONS : (t + 1) * PARTITIONS],
                src=turned,
                engine=nisa.engine.scalar,
            )
    return tokens
