# SPDX-License-Identifier: Apache-2.0
"""What a grouped GEMM may choose: its time depends on it, its results do not, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from statistics import NormalDist

from nkimoe.planning.grouped_gemm.pieces import ProjectionSizes
from nkimoe.planning.tiling import PARTITIONS, ceil_div

SLOT_STEP = 32  # a quarter of the PE's columns: tiles of fewer tokens than 128 have a multiple of so many
# Slots that are multiplied while the weights of an expert arrive: 2 bytes a weight at 362 B/ns, and 128 x 128 products
# a cycle of 2.4 GHz. The last block of an expert should not be much smaller, as weights arrive behind their last use.
SLOTS_A_LOAD = 224
PADS_A_SLOT = 32  # so many empty slots cost as much as one that is multiplied: what is moved hides behind the PE
LARGEST_BLOCK = 512
TOKEN_COPIES = 6  # bytes of each number of a token: its row, and two sets of columns, 16 bits each
TOKEN_BYTES = 98304  # of a partition, for tokens of a block as rows and as columns: the rest is room for weights

BlockCount = Callable[[int], float]
"""Slots of a block to the blocks of all experts."""


class Split(Enum):
    """What cores share."""

    BLOCKS = "blocks"
    COLUMNS = "columns"


@dataclass(frozen=True)
class GemmChoice:
    """One of the ways to run it.

    Attributes:
        block_size: slots of a block, a multiple of 32.
        width: columns of the result in a piece of weights, up to a PSUM bank.
        at_once: pieces of an expert's weights on chip, at most; None: as many as fit.
        split: None: as there are many or few blocks. Columns are shared where there is a piece for each core.
    """

    block_size: int
    width: int
    at_once: int | None = None
    split: Split | None = None


def default_choices(
    pairs: int, experts: int, projections: Sequence[ProjectionSizes], blocks: BlockCount | None = None
) -> tuple[GemmChoice, ...]:
    """That of each projection of a layer; they share the blocks.

    Args:
        experts: those that pairs go to.
        blocks: None: what is to be expected of pairs that are drawn evenly.

    >>> [choice.width for choice in default_choices(64, 8, [ProjectionSizes(4096, 14336, 2)])]
    [256]
    """
    count = partial(expected_blocks, pairs, experts) if blocks is None else blocks
    size = gemm_block_size(experts, max(each.K for each in projections), count)
    return tuple(GemmChoice(size, each.default_width) for each in projections)


def gemm_block_size(experts: int, K: int, blocks: BlockCount) -> int:
    """Slots of a block: those with the least work, pads and waits for weights included.

    >>> [gemm_block_size(8, 1024, partial(expected_blocks, pairs, 8)) for pairs in (64, 1024, 2048, 4096)]
    [32, 192, 288, 288]
    >>> gemm_block_size(8, 16384, partial(expected_blocks, 4096, 8))
    128
    """
    tiles = max(1, TOKEN_BYTES // (TOKEN_COPIES * K))
    sizes = range(SLOT_STEP, min(LARGEST_BLOCK, tiles * PARTITIONS) + 1, SLOT_STEP)
    return min(sizes, key=lambda size: _work(size, experts, blocks(size)))


def expected_blocks(pairs: int, experts: int, size: int) -> float:
    """Blocks of `size` slots, if any expert is as likely: of a normal law with the variance of Poisson's."""
    each, total = pairs / experts, 1.0
    law = NormalDist(each, max(each, 1e-9) ** 0.5)
    for full in range(size, LARGEST_BLOCK * ceil_div(int(each) + 1, size) + size, size):
        more = 1.0 - law.cdf(full + 0.5)
        if more < 1e-6:
            break
        total += more
    return experts * total


def _work(size: int, experts: int, blocks: float) -> float:
    """In slots of the PE: of a last tile of up to 64 slots as many as it has, of one with more 128. Pads move, too."""
    whole, rest = divmod(size, PARTITIONS)
    slots = whole * PARTITIONS + (rest if rest <= PARTITIONS // 2 else PARTITIONS)
    return blocks * (slots + size / PADS_A_SLOT) + experts * max(0, SLOTS_A_LOAD - slots)
