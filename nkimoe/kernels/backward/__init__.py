"""Device code of the backward pass: one block program, one schedule, both over its own stages and the forward ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nki.language as nl

from nkimoe.backward.plan import BackwardPlan
from nkimoe.backward.request import BackwardRequest
from nkimoe.kernels.backward.block_program import compute
from nkimoe.kernels.backward.layer import BackwardLayer


def run(request: BackwardRequest, plan: BackwardPlan) -> tuple[Any, ...]:
    """Emit the kernel `plan` describes and return the gradients."""
    request = replace(request, compute_dtype=getattr(nl, str(request.compute_dtype)))
    layer = BackwardLayer.prepare(request, plan)
    if layer.routing is not None:
        steps = layer.routing.steps()
        now = next(steps)
        layer.start(now)
        while now is not None:
            following = next(steps, None)
            compute(now, following, layer)
            now = following
    return layer.finish()
