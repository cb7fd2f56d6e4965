# SPDX-License-Identifier: Apache-2.0
"""Shapes of the scales of blocks of fp8 weights [E, rows, ..., columns]: 128 x 128, or 256 x 256 with copies."""

from __future__ import annotations

from collections.abc import Sequence

BLOCK_COPIES = 128  # of a scale of 256 x 256 weights: one for each partition


def block_of(scale: Sequence[int], weight: Sequence[int]) -> int:
    """Rows and columns of a weight that share a scale, from the shapes of both; 0 if whole columns or matrices do.

    Scales of 128 x 128 blocks have as many dimensions as the weight, those of 256 x 256 one more: copies.

    >>> block_of((4, 16, 2, 6), (4, 2048, 2, 768)), block_of((4, 3, 8, 128), (4, 768, 2048))
    (128, 256)
    >>> block_of((4, 1, 2048), (4, 768, 2048)), block_of((4, 2, 1), (4, 2048, 2, 768))
    (0, 0)
    """
    more = len(scale) - len(weight)
    if more == 1:
        return 256
    return 128 if more == 0 and len(scale) and int(scale[-1]) != int(weight[-1]) else 0


def block_scale_shapes(weight: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Accepted shapes of the scales of blocks of weights [E, rows, ..., columns].

    >>> block_scale_shapes((4, 384, 2, 192))
    ((4, 3, 2, 2), (4, 2, 2, 1, 128), (1, 3, 2, 2), (1, 2, 2, 1, 128))
    """
    E, rows, *matrices, columns = (int(n) for n in weight)
    grids = {size: (-(-rows // size), *matrices, -(-columns // size)) for size in (128, 256)}
    return tuple((e, *grid) for e in dict.fromkeys((E, 1)) for grid in (grids[128], (*grids[256], BLOCK_COPIES)))
