# SPDX-License-Identifier: Apache-2.0
"""How many slots a block should have, where the caller does not say."""

from __future__ import annotations

from fractions import Fraction

# Predicted on layers of Qwen3-30B-A3B and Mixtral: an expert whose tokens fit in one block meets its weights once, a
# block costs what its slots cost, and from three tiles of 128 on the weights have less room.
HEADROOM, MULTIPLE, MOST_AT_ONCE, LARGE_BLOCK = Fraction(6, 5), 32, 384, 256


def block_size_for(pairs: int, experts: int) -> int:
    """Slots of a block for so many pairs of so many experts: room for an expert of somewhat more than the average.

    >>> block_size_for(640 * 8, 128), block_size_for(640 * 2, 8), block_size_for(4096 * 2, 8), block_size_for(3, 64)
    (64, 192, 256, 32)
    """
    used = max(1, min(experts, pairs))
    wanted = MULTIPLE * max(1, -(-HEADROOM.numerator * pairs // (HEADROOM.denominator * used * MULTIPLE)))
    return LARGE_BLOCK if wanted > MOST_AT_ONCE else wanted
