"""Small pieces of Markdown: tables, code, and what Python says of itself."""

from __future__ import annotations

import html
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises):\n((?:    .*\n?)+)", re.MULTILINE)
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


def call(name: str, function: Callable[..., Any]) -> str:
    """A call with the parameters and their defaults, without types."""
    parameters = [*inspect.signature(function).parameters.values()]
    bare = [str(parameter.replace(annotation=inspect.Parameter.empty)) for parameter in parameters]
    by_name = [parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters]
    if any(by_name):
        bare.insert(by_name.index(True), "*")
    plain = [re.sub(r"<(\w+)\.(\w+): [^>]*>", r"\1.\2", text) for text in bare]
    line = f"{name}({', '.join(plain)})"
    return line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {text},\n" for text in plain) + ")"


def docstring(text: str) -> str:
    """A docstring: paragraphs as they are, its sections as lists."""
    return _SECTION.sub(lambda found: f"**{found[1]}**\n\n{_items(found[2])}", escaped(text))


def _items(section: str) -> str:
    """Its entries, each a line with lines of a deeper indent behind it."""
    lines = textwrap.dedent(section).splitlines()
    entries = "\n".join(line if not line.startswith(" ") else f"\0{line.strip()}" for line in lines).replace(
        "\n\0", " "
    )
    return "\n".join(f"* {entry}" for entry in entries.splitlines() if entry)
