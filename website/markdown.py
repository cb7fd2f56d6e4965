"""Small pieces of Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

_MARKS = re.compile(r"([\\*_\[\]|])")


def escaped(text: str) -> str:
    """Plain text that shows every character it has; what is in backticks stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _MARKS.sub(r"\\\1", html.escape(part, False)) for part in parts)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are Markdown without line ends."""
    head = [*head]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def code(text: str, language: str = "python") -> str:
    return f"```{language}\n{text}\n```"
