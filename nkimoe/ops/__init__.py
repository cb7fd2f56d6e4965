"""Operations of other systems as NKI kernels, under the field's names: each a thin door from a request to a launch.

Launch as `operation[2](...)` for both cores of a logical NeuronCore, or `operation(...)` for one.
"""

from nkimoe.ops.moe_smoothquant import moe_smoothquant
from nkimoe.ops.quantize_int8 import quantize_per_channel_int8, quantize_per_token_int8
from nkimoe.ops.smoothquant import smoothquant

__all__ = [
    "moe_smoothquant",
    "quantize_per_channel_int8",
    "quantize_per_token_int8",
    "smoothquant",
]
