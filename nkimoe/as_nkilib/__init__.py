# SPDX-License-Identifier: Apache-2.0
"""nkimoe under nkilib's import names, for clients that import those: vllm-neuron, neuronx-distributed.

    import nkimoe.as_nkilib
    nkimoe.as_nkilib.install()
    from nkilib.core.moe.moe_cte.moe_cte import MoECTESpec, moe_cte

Results have nkilib's shapes: where cores accumulate into slabs, all slabs are returned, slab 0 the sum.
"""

from nkimoe.as_nkilib.modules import install

__all__ = ["install"]
