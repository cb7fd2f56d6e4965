# SPDX-License-Identifier: Apache-2.0
"""What a grouped GEMM may choose: its time depends on it, its results do not, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from nkimoe.planning.grouped_gemm.pieces import ProjectionSizes
from nkimoe.planning.tiling import PARTITIONS

# (pairs an expert has on average, rows K at most, slots of a block): while a larger block is multiplied, weights of the
# next expert arrive piece by piece; but the last block of an expert is half empty, and tokens take room from weights.
# Predicted best, at 512 to 2048 pairs an expert and K from 1024 to 4096.
BLOCK_SIZES = ((1536, 4096, 512), (448, 2048, 256))
SMALLEST_BLOCK = PARTITIONS


class Split(Enum):
    """What cores share."""

    BLOCKS = "blocks"
    COLUMNS = "columns"


@dataclass(frozen=True)
class GemmChoice:
    """One of the ways to run it.

    Attributes:
        block_size: slots of a block, a multiple of 128.
        width: columns of the result in a piece of weights, up to a PSUM bank.
        at_once: pieces of an expert's weights on chip, at most; None: as many as fit.
        split: None: as there are many or few blocks. Columns are shared where there is a piece for each core.
    """

    block_size: int
    width: int
    at_once: int | None = None
    split: Split | None = None


def default_choices(pairs: int, experts: int, projections: Sequence[ProjectionSizes]) -> tuple[GemmChoice, ...]:
    """That of each projection of a layer; they share the blocks.

    >>> [choice.width for choice in default_choices(64, 8, [ProjectionSizes(4096, 14336, 2)])]
    [256]
    """
    size = gemm_block_size(pairs, experts, max(each.K for each in projections))
    return tuple(GemmChoice(size, each.default_width) for each in projections)


def gemm_block_size(pairs: int, experts: int, K: int) -> int:
    """Slots of a block.

    >>> gemm_block_size(4096, 8, 1024), gemm_block_size(64, 8, 1024), gemm_block_size(4096, 8, 16384)
    (256, 128, 128)
    """
    fitting = (size for least, most, size in BLOCK_SIZES if pairs >= least * experts and most >= K)
    return next(fitting, SMALLEST_BLOCK)
