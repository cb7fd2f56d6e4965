"""nkimoe for torch: the kernel as an operator, and the experts of a layer as a function.

Needs the extra `torch`.
"""

from nkimoe.pytorch.experts import expert_outputs, moe_experts
from nkimoe.pytorch.gate import Gate
from nkimoe.pytorch.mapping import Blocks, build_blocks, merge_repeated, scatter_weights
from nkimoe.pytorch.options import Options, current_options, options
from nkimoe.pytorch.router import route
from nkimoe.pytorch.weights import ExpertWeights

__all__ = [
    "Blocks",
    "ExpertWeights",
    "Gate",
    "Options",
    "build_blocks",
    "current_options",
    "expert_outputs",
    "merge_repeated",
    "moe_experts",
    "options",
    "route",
    "scatter_weights",
]
