# SPDX-License-Identifier: Apache-2.0
"""What is free in a call of `moe_cte`: it changes time, and of the result no more than the rounding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from nkimoe.planning.block_size import block_size_for
from nkimoe.planning.variants import BLOCKS, DROPPING, VARIANTS, Variant
from nkimoe.spec import BlockShardStrategy, MoECTEImplementation

BLOCK_SIZES = (64, 128, 256, 512)
"""That are tried beside the one that suits the layer's pairs."""


@dataclass(frozen=True)
class LayerChoice:
    """How a layer is called.

    Attributes:
        block_size: slots of a block.
        strategy: which blocks a core takes; None where cores do not split blocks.
    """

    implementation: MoECTEImplementation
    block_size: int
    strategy: BlockShardStrategy | None

    @property
    def variant(self) -> str:
        """Its name."""
        return self.implementation.name

    def __str__(self) -> str:
        strategy = "" if self.strategy is None else f" {self.strategy.name}"
        return f"{self.variant}{strategy}, blocks of {self.block_size}"


@dataclass(frozen=True)
class Fixed:
    """What a caller has decided already. None leaves it open.

    Attributes:
        strategy: for implementations whose cores split blocks; others are not affected.
    """

    implementation: MoECTEImplementation | None = None
    block_size: int | None = None
    strategy: BlockShardStrategy | None = None


def choices(fixed: Fixed, is_mx: bool, pairs: int, experts: int) -> Iterator[LayerChoice]:
    """All that differ, those the machine does not have included. An implementation that drops tokens is none, unless
    it is asked for.

    Args:
        fixed: what is not free.
        is_mx: the weights are MX.
        pairs, experts: of the rank.
    """
    suited = block_size_for(pairs, experts)
    for variant in _variants(fixed, is_mx):
        for size, strategy in product(_sizes(fixed, variant, suited), _strategies(fixed, variant)):
            yield LayerChoice(variant.implementation, size, strategy)


def _variants(fixed: Fixed, is_mx: bool) -> list[Variant]:
    if fixed.implementation is not None:
        return [VARIANTS[fixed.implementation]]
    return [v for v in VARIANTS.values() if v.is_mx == is_mx and v.schedule != DROPPING]


def _sizes(fixed: Fixed, variant: Variant, suited: int) -> list[int]:
    """Of blocks; where they are the capacity of an expert, the suited one alone."""
    if fixed.block_size is not None:
        return [fixed.block_size]
    return [suited] if variant.schedule == DROPPING else sorted({*BLOCK_SIZES, suited})


def _strategies(fixed: Fixed, variant: Variant) -> list[BlockShardStrategy | None]:
    if variant.split != BLOCKS:
        return [None]
    if fixed.strategy is not None:
        return [fixed.strategy]
    return [BlockShardStrategy.HI_LO, BlockShardStrategy.PING_PONG]
