"""Device code. Imports only `nki`; stages are words, block programs sentences, schedules paragraphs."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa

from nkimoe.kernels.block_programs import dense_on_block, dense_on_intermediate
from nkimoe.kernels.layer import Layer
from nkimoe.kernels.schedules.static import run_static
from nkimoe.plan import Plan
from nkimoe.request import Request
from nkimoe.targets import Target, by_generation


def target() -> Target:
    """The machine being traced for."""
    return by_generation(nisa.get_nc_version().value)


def run(request: Request, plan: Plan) -> Any:
    """Emit the kernel `plan` describes and return its output tensor."""
    program = dense_on_intermediate if plan.halves_intermediate else dense_on_block
    return run_static(Layer.prepare(request, plan), program.compute)
