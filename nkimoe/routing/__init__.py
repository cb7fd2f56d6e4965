# SPDX-License-Identifier: Apache-2.0
"""Routing: which experts a token goes to, and which block each routed token sits in."""

from nkimoe.routing.mapping import BlockMapping, build_block_mapping, scatter_affinities, static_block_count
from nkimoe.routing.pair_blocks import PairBlocks, pair_blocks
from nkimoe.routing.router import route, route_softmax_top_k
from nkimoe.routing.rule import GroupScore, RoutingRule, Score
from nkimoe.routing.sorted_pairs import AlignedIds, SortedTokens, moe_align_block_size, moe_sorting
from nkimoe.routing.sorting_rule import SortingRule

__all__ = [
    "AlignedIds",
    "BlockMapping",
    "GroupScore",
    "PairBlocks",
    "RoutingRule",
    "Score",
    "SortedTokens",
    "SortingRule",
    "build_block_mapping",
    "moe_align_block_size",
    "moe_sorting",
    "pair_blocks",
    "route",
    "route_softmax_top_k",
    "scatter_affinities",
    "static_block_count",
]
