# SPDX-License-Identifier: Apache-2.0
"""Tables as plain text: what is cut, coloured or padded cannot be pasted."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

LEAST_WIDTH = 40


def aligned(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """A line a row, columns two spaces apart and as wide as they must be, nothing behind the last.

    Args:
        right: columns that are numbers.
    """
    numbers = {*right}
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    lines = (
        "  ".join(
            cell.rjust(width) if i in numbers else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return [line.rstrip() for line in lines]


def labelled(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Texts behind their labels, wrapped at `width` columns; words longer than that are not broken."""
    indent = 2 + max((len(label) for label, _ in rows), default=0)
    room = max(LEAST_WIDTH, width - indent)
    lines = []
    for label, text in rows:
        first, *rest = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
        lines += [f"{label:{indent}}{first}".rstrip(), *(" " * indent + line for line in rest)]
    return lines
