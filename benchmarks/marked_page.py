"""Pages of the documentation whose tables a command renews, between two marks."""

from __future__ import annotations

BEGIN, END = "<!-- generated from here -->\n", "<!-- to here -->\n"


def renewed(text: str, lines: list[str]) -> str:
    """`text` with the part between the two marks made new.

    Raises:
        ValueError: there are no marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has a line {BEGIN!r} and a line {END!r}")
    return before + begin + "\n".join(lines) + "\n" + end + after


def grid(headings: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table."""
    cells = [headings, ["---"] * len(headings), *rows]
    return ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in cells]
