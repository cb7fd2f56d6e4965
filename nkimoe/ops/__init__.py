"""Operations around the experts as functions: NumPy or torch in, the same out, one launch each.

Each checks what it is given, by shapes and by values where these lie on the host, before anything runs; then a kernel
does the work: simulated, or on a Neuron device.
"""

from nkimoe.ops.moe_sorting import moe_sorting
from nkimoe.ops.topk_softmax import topk_softmax

__all__ = ["moe_sorting", "topk_softmax"]
