# SPDX-License-Identifier: Apache-2.0
"""Routing as NKI kernels: the functions of `nkimoe.routing` under the same names, for ids and logits on the device.

NumPy is their definition. What it refuses by looking at values, a kernel cannot: see each one. All are also functions
that another kernel may call; between one that writes a tensor and one that reads it on two cores belongs a
`nisa.core_barrier`.
"""

from nkimoe.routing.on_device.affinities import scatter_affinities
from nkimoe.routing.on_device.aligned_pairs import moe_align_block_size
from nkimoe.routing.on_device.mapping import build_block_mapping
from nkimoe.routing.on_device.pair_blocks import pair_blocks
from nkimoe.routing.on_device.router import route
from nkimoe.routing.on_device.sigmoid_top1 import routing_sigmoid_top1
from nkimoe.routing.on_device.sorted_pairs import moe_sorting

__all__ = [
    "build_block_mapping",
    "moe_align_block_size",
    "moe_sorting",
    "pair_blocks",
    "route",
    "routing_sigmoid_top1",
    "scatter_affinities",
]
