# SPDX-License-Identifier: Apache-2.0
"""Decorators and markers that tell the old compiler how to compile, and never what a kernel computes."""

from __future__ import annotations

from typing import Any


def skip_middle_end_transformations(kernel: Any) -> Any:
    """The kernel itself."""
    return kernel


def enable_stack_allocator(kernel: Any = None, **_: Any) -> Any:
    """The kernel itself."""
    return enable_stack_allocator if kernel is None else kernel


def force_auto_alloc(kernel: Any) -> Any:
    """The kernel itself."""
    return kernel


def multi_buffer(count: int) -> int:
    """How many buffers a loop may use; one is simulated."""
    return count
