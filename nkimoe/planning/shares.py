# SPDX-License-Identifier: Apache-2.0
"""What each core of a launch does: which blocks, which columns of I, which columns of H."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.planning.problem import Problem
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div
from nkimoe.spec import BlockShardStrategy

QUARTERS, MX_BLOCK, MX_UNIT = 4, 32, 128  # values of a packed element, of a scale, of 32 partitions


@dataclass(frozen=True)
class BlockRange:
    """The blocks of one core: first, first + step, ... (`count` of them)."""

    first: int
    step: int
    count: int

    @property
    def indices(self) -> slice:
        """The same blocks as a slice of an array of blocks."""
        return slice(self.first, self.first + self.step * self.count, self.step)

    def block(self, j: int) -> int:
        """Global number of the core's j-th block."""
        return self.first + j * self.step


def block_range(strategy: BlockShardStrategy, n: int, cores: int, core: int) -> BlockRange:
    """Which of `n` blocks a core takes."""
    if strategy is BlockShardStrategy.PING_PONG:
        return BlockRange(core, cores, len(range(core, n, cores)))
    half = ceil_div(n, cores)
    first = min(core * half, n)
    return BlockRange(first, 1, min(half, n - first))


@dataclass(frozen=True)
class Share:
    """One core's part of the work.

    Attributes:
        blocks: the blocks it processes.
        inner: columns of I it computes.
        gathered: columns of H it gathers and transposes; the rest comes from the other core. Of each quarter of H, for
            MX, whose packed elements hold a column of each; `inner` then counts in packed order (`mx_tiling`).
        written: columns of H whose results it sums up and writes.
    """

    blocks: BlockRange
    inner: Span
    gathered: Span
    written: Span


def whole_blocks(problem: Problem, blocks: BlockRange) -> Share:
    """All columns of some blocks."""
    everything = Span(0, problem.H)
    return Share(blocks, Span(0, problem.I), everything, everything)


def whole_mx_blocks(problem: Problem, blocks: BlockRange) -> Share:
    """All columns of some blocks, for MX."""
    return Share(blocks, Span(0, problem.I), Span(0, problem.H // QUARTERS), Span(0, problem.H))


def half_of_each_mx_block(problem: Problem, core: int) -> Share:
    """Half of I for all blocks, and half of the tiles of each quarter of H.

    Whole tiles of I, because a part of one takes as long; of a single tile half, in blocks that share a scale.
    """
    tile = QUARTERS * PARTITIONS
    unit = next(size for size in (tile, MX_UNIT, MX_BLOCK) if size < problem.I or size == MX_BLOCK)
    return _halves(problem, core, ceil_div(ceil_div(problem.I, unit), 2) * unit, problem.H // tile)


def half_of_each_block(problem: Problem, core: int) -> Share:
    """Half of I for all blocks. Tokens are gathered and results written in halves of H, so nothing is done twice.

    Both cores gather equally many tiles, as an exchange needs; with an odd number they share the middle one.
    """
    return _halves(problem, core, ceil_div(problem.I, 2), problem.H // PARTITIONS)


def _halves(problem: Problem, core: int, inner: int, tiles: int) -> Share:
    """`inner` columns of I for the first core and the rest for the second; half of `tiles` gathered."""
    half = ceil_div(tiles, 2)
    return Share(
        BlockRange(0, 1, problem.N),
        Span(core * inner, min(inner, problem.I - core * inner)),
        Span(core * (tiles - half) * PARTITIONS, half * PARTITIONS),
        Span(core * problem.H // 2, problem.H // 2),
    )
