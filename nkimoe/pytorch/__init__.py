# SPDX-License-Identifier: Apache-2.0
"""nkimoe for torch: the kernel and the operations with experts as operators, the experts of a layer as a function, and
the whole layer as a module that torch.distributed can spread over ranks.

Needs the extra `torch`.
"""

from nkimoe.pytorch.blockwise import blockwise_matmul, build_blockwise_mapping, routed_mask
from nkimoe.pytorch.experts import expert_outputs, moe_experts
from nkimoe.pytorch.gate import Gate
from nkimoe.pytorch.mapping import Blocks, build_blocks, merge_repeated, scatter_weights
from nkimoe.pytorch.moe import LayerSizes, MoE
from nkimoe.pytorch.operations import (
    e2e_moe,
    fused_experts,
    fused_moe,
    fused_moe_gemm,
    fused_moe_smoothquant,
    shared_expert,
)
from nkimoe.pytorch.options import Options, current_options, options
from nkimoe.pytorch.ranks import Ranks, Travel
from nkimoe.pytorch.router import route
from nkimoe.pytorch.weights import ExpertWeights

__all__ = [
    "Blocks",
    "ExpertWeights",
    "Gate",
    "LayerSizes",
    "MoE",
    "Options",
    "Ranks",
    "Travel",
    "blockwise_matmul",
    "build_blocks",
    "build_blockwise_mapping",
    "current_options",
    "e2e_moe",
    "expert_outputs",
    "fused_experts",
    "fused_moe",
    "fused_moe_gemm",
    "fused_moe_smoothquant",
    "merge_repeated",
    "moe_experts",
    "options",
    "route",
    "routed_mask",
    "scatter_weights",
    "shared_expert",
]
