# SPDX-License-Identifier: Apache-2.0
"""The names of `neuronxcc.nki.compiler`."""

from nkisim.language.program import no_reorder
from nkisim.legacy.allocation import Allocations as _Allocations
from nkisim.legacy.decorators import (
    enable_stack_allocator,
    force_auto_alloc,
    multi_buffer,
    skip_middle_end_transformations,
)

sbuf = _Allocations.sbuf
psum = _Allocations.psum

__all__ = [
    "enable_stack_allocator", "force_auto_alloc", "multi_buffer", "no_reorder", "psum", "sbuf",
    "skip_middle_end_transformations",
]  # fmt: skip
