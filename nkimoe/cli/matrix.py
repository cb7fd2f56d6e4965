# SPDX-License-Identifier: Apache-2.0
"""Which variant honours which feature, from the table that validation reads: for a terminal, and as Markdown."""

from __future__ import annotations

from nkimoe.planning.features import FEATURES, Refusal
from nkimoe.planning.variants import VARIANTS
from nkisim.report.tables import aligned, labelled

YES = "yes"
AVAILABLE = [v for v in VARIANTS.values() if v.is_available]


def as_text(width: int) -> str:
    """A row a feature, variants as letters, which the lines above say; reasons wrapped at `width` columns.

    Rows fit 80 columns: where a variant refuses a feature, only the number of the reason stands there.
    """
    letters = [chr(ord("A") + n) for n in range(len(AVAILABLE))]
    cells, reasons = _cells()
    short = {YES: YES, **{f"no ({n})": f"{n}" for n in range(1, len(reasons) + 1)}}
    rows = [["feature", *letters], *([f.name, *(short[cell] for cell in cells[f.name])] for f in FEATURES)]
    lines = [f"{letter}  {v.name}" for letter, v in zip(letters, AVAILABLE, strict=True)]
    lines += ["", *aligned(rows), "", "A number is a refusal:"]
    lines += labelled([(f"{n}", f"{refusal.why}. {refusal.fix}") for n, refusal in enumerate(reasons, 1)], width)
    return "\n".join(lines)


def as_markdown() -> str:
    """A row a feature, a column a variant that is available; below it why a variant refuses, and what would work."""
    cells, reasons = _cells()
    lines = _table([
        ["feature", "argument", *(v.name for v in AVAILABLE)],
        *([f.name, f"`{f.argument}`", *cells[f.name]] for f in FEATURES),
    ])  # fmt: skip
    lines += ["", "Refused, because:", ""]
    lines += [f"{n}. {refusal.why}. {refusal.fix}" for n, refusal in enumerate(reasons, 1)]
    missing = [v.name for v in VARIANTS.values() if not v.is_available]
    if missing:
        lines += ["", f"Not written yet: {', '.join(missing)}."]
    return "\n".join(lines)


def _cells() -> tuple[dict[str, list[str]], list[Refusal]]:
    """By name of a feature, yes or no for each variant; and the reasons in the order of their numbers."""
    reasons: dict[Refusal, int] = {}

    def cell(refusal: Refusal | None) -> str:
        return YES if refusal is None else f"no ({reasons.setdefault(refusal, len(reasons) + 1)})"

    cells = {f.name: [cell(f.refused.get(v.implementation)) for v in AVAILABLE] for f in FEATURES}
    return cells, list(reasons)


def _table(rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table whose first row is its head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    head, *body = rows
    ruled = [head, ["-" * width for width in widths], *body]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in ruled)
    return [f"| {' | '.join(cells)} |" for cells in padded]
