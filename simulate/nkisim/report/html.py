# SPDX-License-Identifier: Apache-2.0
"""Pieces of HTML: everything that comes from a kernel is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def element(tag: str, text: object, **attributes: str) -> str:
    """One element with a text. Attributes by name, `class_` for class."""
    given = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
    return f"<{tag}{given}>{escape(str(text))}</{tag}>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str, numbers: Iterable[int] = ()) -> str:
    """A table with a caption; columns in `numbers` are set to the right."""
    right = {*numbers}

    def cells(tag: str, row: Sequence[object]) -> str:
        styles = ("right" if i in right else "left" for i in range(len(row)))
        return "".join(element(tag, cell, style=f"text-align:{style}") for cell, style in zip(row, styles, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f"<table>{element('caption', caption)}<thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"
    )
