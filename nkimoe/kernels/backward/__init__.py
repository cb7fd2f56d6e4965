# SPDX-License-Identifier: Apache-2.0
"""Device code of the backward pass: a block program over its own stages and some of the forward pass."""

from __future__ import annotations

from dataclasses import replace

import nki.language as nl

from nkimoe.kernels.backward.block_program import run_steps
from nkimoe.kernels.backward.layer import BackwardLayer
from nkimoe.kernels.shared_tensors import name_scope
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.backward.plan import BackwardPlan
from nkimoe.planning.backward.request import BackwardRequest


def run(request: BackwardRequest, plan: BackwardPlan) -> tuple[Tensor, ...]:
    """Emit the kernel `plan` describes and return the gradients."""
    request = replace(request, compute_dtype=getattr(nl, str(request.compute_dtype)))
    with name_scope("moe_cte_backward"):
        layer = BackwardLayer.prepare(request, plan)
    if layer.routing is not None:
        run_steps(layer.routing.steps(), layer)
    return layer.finish()
