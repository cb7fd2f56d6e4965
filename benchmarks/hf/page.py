"""The comparison as a table of the documentation."""

from __future__ import annotations

import torch
import transformers

from benchmarks.hf.compare import REFUSED, Comparison
from benchmarks.hf.graphs import COMPILE, EXPORT
from benchmarks.marked_page import grid


def page_lines(rows: list[Comparison]) -> list[str]:
    """What was tried, a row a class of experts, and below it why some are refused."""
    count = {status: sum(row.status == status for row in rows) for status in dict.fromkeys(row.status for row in rows)}
    told = ", ".join(f"{status}: {number}" for status, number in count.items())
    head = ["model", "experts", "eager", "difference", "without experts", COMPILE, EXPORT]
    reasons = [f"* {row.reason}" for row in rows if row.status == REFUSED]
    return [
        f"transformers {transformers.__version__}, torch {torch.__version__}: {len(rows)} classes of experts; {told}.",
        "",
        *grid(head, [_cells(row) for row in rows]),
        *([""] * bool(reasons)),
        *reasons,
    ]


def _cells(row: Comparison) -> list[str]:
    known = row.error == row.error
    graphs = [row.graphs[how][0] if how in row.graphs else "" for how in (COMPILE, EXPORT)]
    numbers = [f"{row.error:.1e}" if known else "", f"{row.effect:.2f}" if row.effect == row.effect else ""]
    return [row.family.name, f"`{row.family.experts}`", row.status, *numbers, *graphs]
