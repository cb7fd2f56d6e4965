# SPDX-License-Identifier: Apache-2.0
"""Operations around the experts, under the field's names: NumPy or torch in, the same out, one launch each.

Each checks what it is given, by shapes and by values where these lie on the host, before anything runs; then a kernel
does the work: simulated, or on a Neuron device. Launch as `operation[2](...)` for both cores of a logical NeuronCore,
or as `operation(...)` for one.
"""

from nkimoe.ops.downcast_to_static_fp8 import downcast_to_static_fp8
from nkimoe.ops.e2e_moe import e2e_moe
from nkimoe.ops.fused_experts import fused_experts
from nkimoe.ops.fused_moe import fused_moe
from nkimoe.ops.fused_moe_gemm import fused_moe_gemm
from nkimoe.ops.fused_moe_smoothquant import fused_moe_smoothquant
from nkimoe.ops.moe_align_block_size import moe_align_block_size
from nkimoe.ops.moe_smoothquant import moe_smoothquant
from nkimoe.ops.moe_sorting import moe_sorting
from nkimoe.ops.quantize_int8 import quantize_per_channel_int8, quantize_per_token_int8
from nkimoe.ops.routing_sigmoid_top1 import routing_sigmoid_top1
from nkimoe.ops.shared_expert import shared_expert
from nkimoe.ops.smoothquant import smoothquant
from nkimoe.ops.topk_softmax import topk_softmax

__all__ = [
    "downcast_to_static_fp8",
    "e2e_moe",
    "fused_experts",
    "fused_moe",
    "fused_moe_gemm",
    "fused_moe_smoothquant",
    "moe_align_block_size",
    "moe_smoothquant",
    "moe_sorting",
    "quantize_per_channel_int8",
    "quantize_per_token_int8",
    "routing_sigmoid_top1",
    "shared_expert",
    "smoothquant",
    "topk_softmax",
]
