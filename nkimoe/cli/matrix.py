"""Which variant honours which feature, from the table that validation reads, as Markdown."""

from __future__ import annotations

from nkimoe.planning.features import FEATURES, Refusal
from nkimoe.planning.variants import VARIANTS

YES = "yes"


def matrix() -> str:
    """A row a feature, a column a variant that is available; below it why a variant refuses, and what would work."""
    variants = [v for v in VARIANTS.values() if v.is_available]
    reasons: dict[Refusal, int] = {}
    rows = [["feature", "argument", *(v.name for v in variants)]]
    for feature in FEATURES:
        cells = []
        for variant in variants:
            refusal = feature.refused.get(variant.implementation)
            cells.append(YES if refusal is None else f"no ({reasons.setdefault(refusal, len(reasons) + 1)})")
        rows.append([feature.name, f"`{feature.argument}`", *cells])
    lines = _table(rows)
    lines += ["", "Refused, because:", ""]
    lines += [f"{n}. {refusal.why}. {refusal.fix}" for refusal, n in reasons.items()]
    missing = [v.name for v in VARIANTS.values() if not v.is_available]
    if missing:
        lines += ["", f"Not written yet: {', '.join(missing)}."]
    return "\n".join(lines)


def _table(rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table whose first row is its head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    head, *body = rows
    ruled = [head, ["-" * width for width in widths], *body]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in ruled)
    return [f"| {' | '.join(cells)} |" for cells in padded]
