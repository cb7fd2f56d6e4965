"""Device code. Imports only `nki`; stages are words, block programs sentences, schedules paragraphs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.block_programs import dense_on_block, dense_on_intermediate, mx_on_block, mx_on_intermediate
from nkimoe.kernels.layer import Layer
from nkimoe.kernels.schedules.device_loops import run_static_then_dynamic
from nkimoe.kernels.schedules.static import run_static
from nkimoe.planning.plan import Plan
from nkimoe.planning.request import Request
from nkimoe.planning.targets import Target, by_generation
from nkimoe.planning.variants import DENSE, HYBRID, MX

PROGRAMS = {
    (DENSE, False): dense_on_block,
    (DENSE, True): dense_on_intermediate,
    (MX, False): mx_on_block,
    (MX, True): mx_on_intermediate,
}
"""By numerics, and whether both cores share every block."""


def target() -> Target:
    """The machine being traced for."""
    return by_generation(nisa.get_nc_version().value)


def run(request: Request, plan: Plan) -> Any:
    """Emit the kernel `plan` describes and return its output tensor."""
    names = (request.compute_dtype, request.sum_dtype)
    compute, sums = (getattr(nl, str(name)) for name in names)
    request = replace(request, compute_dtype=compute, accumulation_dtype=sums)
    program = PROGRAMS[plan.variant.numerics, plan.halves_intermediate]
    schedule = run_static_then_dynamic if plan.variant.schedule == HYBRID else run_static
    return schedule(Layer.prepare(request, plan), program.compute)
