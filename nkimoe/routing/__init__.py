"""Routing: which experts a token goes to, and which block each routed token sits in."""

from nkimoe.routing.mapping import BlockMapping, build_block_mapping, scatter_affinities, static_block_count
from nkimoe.routing.router import route_softmax_top_k

__all__ = [
    "BlockMapping",
    "build_block_mapping",
    "route_softmax_top_k",
    "scatter_affinities",
    "static_block_count",
]
