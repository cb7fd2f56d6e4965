# SPDX-License-Identifier: Apache-2.0
"""How a row of scales comes to all partitions: results of the down projection have tokens on partitions."""

from __future__ import annotations

from nkimoe.planning.tiling import PARTITIONS

ROW_SCALED = ("fp8-row", "int8")
"""Formats of weights whose products are multiplied with a row of scales."""
# Of a row that is spread on chip; each quadrant of partitions holds all of them. A part is an instruction, and half as
# many are twice as many bytes from HBM.
SPREAD_PARTS = 8


def is_spread(has_bias: bool, slots: int, is_int8: bool) -> bool:
    """Whether the Vector Engine does it; else HBM is read for each partition.

    Predicted with fp8 rows on trn2: Qwen3-30B TP 4 at 640 tokens 630 to 516 us, Mixtral TP 16 382 to 372. In large
    blocks with a bias the results are work enough for the Vector Engine: gpt-oss-20b TP 8 at 8,192 tokens 2,840 to
    2,992 us. In small blocks of int8 it is busy with codes of weights: Qwen3-30B TP 4 at 640 tokens 580 to 726 us, but
    at 4,096 tokens, in blocks of 320, 1,823 to 1,767.

    Args:
        has_bias: the down projection has one.
        slots: of a block.
        is_int8: activations become int8.
    """
    if is_int8 and slots <= PARTITIONS // 2:
        return False
    return slots <= PARTITIONS or not has_bias


def rows_read(has_bias: bool, slots: int, is_int8: bool) -> int:
    """How often HBM is read for a row: where it is not spread, for as many partitions as a block has slots."""
    return PARTITIONS // SPREAD_PARTS if is_spread(has_bias, slots, is_int8) else min(PARTITIONS, slots)
