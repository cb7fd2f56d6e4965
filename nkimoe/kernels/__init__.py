# SPDX-License-Identifier: Apache-2.0
"""Device code. Imports only `nki`; stages are words, the block program a sentence, schedules paragraphs."""

from __future__ import annotations

from dataclasses import replace

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.layer import ForwardLayer
from nkimoe.kernels.schedules.device_loops import run_static_then_dynamic
from nkimoe.kernels.schedules.static import run_static
from nkimoe.kernels.shared_tensors import name_scope
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.plan import Plan
from nkimoe.planning.request import Request
from nkimoe.planning.targets import Target, by_generation
from nkimoe.planning.variants import HYBRID


def target() -> Target:
    """The machine being traced for."""
    return by_generation(nisa.get_nc_version().value)


def run(request: Request, plan: Plan) -> Tensor | tuple[Tensor, ...]:
    """Emit the kernel `plan` describes and return its output, and checkpoints if any are kept."""
    names = (request.compute_dtype, request.sum_dtype)
    compute_dtype, sum_dtype = (getattr(nl, str(name)) for name in names)
    request = replace(request, compute_dtype=compute_dtype, accumulation_dtype=sum_dtype)
    schedule = run_static_then_dynamic if plan.variant.schedule == HYBRID else run_static
    with name_scope("moe_cte"):
        return schedule(ForwardLayer.prepare(request, plan))
