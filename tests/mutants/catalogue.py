"""Realistic mistakes in the kernels: each a piece of source and what a tired engineer might have written instead."""

from __future__ import annotations

from typing import NamedTuple

from mutants import (
    backward,
    compute,
    grouped_gemm,
    int8,
    on_device,
    pair_experts,
    quantised_rows,
    results,
    routing,
    weights,
)


class Mutant(NamedTuple):
    """One mistake.

    Attributes:
        file: under nkimoe/.
        old, new: source text; `old` occurs exactly once.
        mistake: what went wrong, in words.
    """

    file: str
    old: str
    new: str
    mistake: str


MUTANTS = tuple(
    Mutant(file, *mistake)
    for module in (
        routing,
        weights,
        compute,
        results,
        backward,
        on_device,
        quantised_rows,
        int8,
        pair_experts,
        grouped_gemm,
    )
    for file, mistakes in module.MISTAKES.items()
    for mistake in mistakes
)
