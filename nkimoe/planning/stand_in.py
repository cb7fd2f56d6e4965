# SPDX-License-Identifier: Apache-2.0
"""Tensors without data: a plan reads shapes and types alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A tensor's shape and dtype."""

    shape: tuple[int, ...]
    dtype: str = "bfloat16"
