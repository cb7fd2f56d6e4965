# SPDX-License-Identifier: Apache-2.0
"""Tokens in groups whose pairs a core puts in order by themselves: tiles of 128, few enough for a small table.

The work of a group is in proportion to its pairs times its slots, so small groups are fast; but every block looks
through the tables of all. Predicted with 64 columns, `pair_blocks` takes 129 us for 8,192 tokens of Qwen3-30B-A3B, with
48 150, with 96 140.
"""

from __future__ import annotations

from typing import NamedTuple

import nki.language as nl

from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div, spans

GROUP_COLUMNS = 64  # slots of a group on each of 128 partitions
KEPT_BYTES = 65536  # of a partition, for what tokens list


class TokenGroups(NamedTuple):
    """Consecutive groups, which cores take in turn.

    Attributes:
        all: their tokens.
        tiles: of 128 tokens in each, but perhaps the last one.
        steps: groups of a core, some of which may be missing at the end.
    """

    all: list[Span]
    tiles: int
    steps: int

    @classmethod
    def of(cls, n_tokens: int, top_k: int, n_experts: int) -> TokenGroups:
        """As few as fit, about equal."""
        tiles, cores = ceil_div(n_tokens, PARTITIONS), nl.num_programs(0)
        most = max(1, min(GROUP_COLUMNS // top_k, KEPT_BYTES // (2 * n_experts)))
        steps = ceil_div(tiles, cores * most)
        each = ceil_div(tiles, cores * steps)
        return cls(spans(n_tokens, each * PARTITIONS), each, steps)

    @property
    def own(self) -> list[int]:
        """Which groups are this core's."""
        return list(range(nl.program_id(0), len(self.all), nl.num_programs(0)))
