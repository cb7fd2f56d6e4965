# SPDX-License-Identifier: Apache-2.0
"""What a grouped GEMM may choose: its time depends on it, its results do not, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from statistics import NormalDist

from nkimoe.planning.grouped_gemm.pieces import Operands, ProjectionSizes
from nkimoe.planning.tiling import PARTITIONS, ceil_div

SLOT_STEP = 32  # a quarter of the PE's columns: tiles of fewer tokens than 128 have a multiple of so many
# Slots that are multiplied while the weights of an expert arrive: 2 bytes a weight at 362 B/ns, and 128 x 128 products
# a cycle of 2.4 GHz. The last block of an expert should not be much smaller, as weights arrive behind their last use.
SLOTS_A_LOAD = 224
PADS_A_SLOT = 32  # so many empty slots cost as much as one that is multiplied: what is moved hides behind the PE
LARGEST_BLOCK = 512
TOKEN_SETS = 2  # tokens as columns: one block is multiplied, the next one is transposed
ITEM = 2  # bytes of a matmul operand
ROOM_BYTES = 180224  # of a partition, for tokens of a block, as rows and as columns, and for weights
TOKEN_BYTES = 98304  # of them, at most, where the more weights a pass has the fewer passes there are
ALONE_TOKEN_BYTES = 122880  # likewise, where a block meets all columns before the next one: two pieces are enough
BLOCKS_TO_SHARE = 8  # from here on cores share blocks; of fewer, one core has too few too often: columns are shared

BlockCount = Callable[[int], float]
"""Slots of a block to the blocks of all experts."""


class Split(Enum):
    """What cores share, and in which order a core goes through its share.

    BLOCKS, COLUMNS: passes, all blocks by some columns each: weights come once, tokens once a pass. WHOLE_BLOCKS: they
    share blocks, and each block meets all columns before the next one: tokens come once, weights once a block.
    """

    BLOCKS = "blocks"
    COLUMNS = "columns"
    WHOLE_BLOCKS = "whole blocks"


@dataclass(frozen=True)
class GemmChoice:
    """One of the ways to run it.

    Attributes:
        block_size: slots of a block, a multiple of 32.
        width: columns of the result in a piece of weights, up to a PSUM bank.
        at_once: pieces of an expert's weights on chip, at most; None: as many as fit.
        split: None: passes, as there are many or few blocks. Columns are shared where there is a piece for each core.
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
    size = gemm_block_size(experts, projections, count)
    whole = (_is_whole(size, experts, each, count(size)) for each in projections)
    return tuple(
        GemmChoice(size, each.default_width, split=Split.WHOLE_BLOCKS if is_whole else None)
        for each, is_whole in zip(projections, whole, strict=True)
    )


def gemm_block_size(experts: int, projections: Sequence[ProjectionSizes], blocks: BlockCount) -> int:
    """Slots of a block: those with the least work, pads and waits for weights included.

    >>> def size(pairs, experts, K, columns):
    ...     return gemm_block_size(experts, [ProjectionSizes(K, columns, 1)], partial(expected_blocks, pairs, experts))
    >>> [size(pairs, 8, 1024, 2048) for pairs in (64, 1024, 2048, 4096)]
    [32, 160, 288, 288]
    >>> size(4096, 8, 16384, 2048), size(4096, 16, 8192, 5120)
    (128, 288)
    """

    def has_room(size: int, each: ProjectionSizes) -> bool:
        needed = token_bytes(size, each.K)
        return needed <= TOKEN_BYTES or (needed <= ALONE_TOKEN_BYTES and _is_whole(size, experts, each, blocks(size)))

    sizes = range(SLOT_STEP, LARGEST_BLOCK + 1, SLOT_STEP)
    fitting = (size for size in sizes if all(has_room(size, each) for each in projections))
    least = PARTITIONS if any(each.operands is Operands.CODED for each in projections) else SLOT_STEP
    return min(fitting, key=lambda size: _work(size, least, experts, blocks(size)))


def token_bytes(size: int, K: int) -> int:
    """Of a partition: rows of a block in tiles of 128, and the sets of their columns, in 16 bits.

    >>> token_bytes(288, 8192)
    122880
    """
    return ITEM * K * (ceil_div(size, PARTITIONS) * PARTITIONS + TOKEN_SETS * size) // PARTITIONS


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


def _is_whole(size: int, experts: int, projection: ProjectionSizes, blocks: float) -> bool:
    """Whether fewer bytes move if each block meets all columns before the next one.

    Then the blocks of an expert behind its first one load its weights again. Passes write the columns of tokens once,
    and read them once a pass.
    """
    if projection.operands is not Operands.PLAIN:
        return False  # other engines work on weights: they come in passes, once for all blocks
    columns = projection.columns * projection.halves
    room = ROOM_BYTES - token_bytes(size, projection.K)
    passes = ceil_div(ITEM * projection.rows * columns, room)
    return blocks >= BLOCKS_TO_SHARE and passes > 1 and (blocks - experts) * columns < passes * blocks * size


def _work(size: int, least: int, experts: int, blocks: float) -> float:
    """In slots of the PE: of a last tile of up to 64 slots `least` or as many as it has, of one with more 128.

    Pads move, too.
    """
    whole, rest = divmod(size, PARTITIONS)
    slots = whole * PARTITIONS + (PARTITIONS if rest > PARTITIONS // 2 else ceil_div(rest, least) * least)
    return blocks * (slots + size / PADS_A_SLOT) + experts * max(0, SLOTS_A_LOAD - slots)
