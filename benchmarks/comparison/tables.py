"""The comparison for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from comparison.measure import Ratio

NOTE = (
    "predicted by one machine file for both, nothing here is measured on a device; "
    "times faster: nominal (over both orders and the corners of the machine)"
)


def show(report: dict[str, Any], console: Console) -> None:
    """A table a target, a row for each shape and variant; what was refused, and why, below."""
    notes: list[str] = []
    for target in dict.fromkeys(row["target"] for row in report["rows"]):
        console.print(_table(target, [row for row in report["rows"] if row["target"] == target], notes))
    for number, note in enumerate(notes, 1):
        console.print(f"[{number}] {note}", highlight=False, markup=False)


def _table(target: str, rows: list[dict[str, Any]], notes: list[str]) -> Table:
    table = Table(title=f"{target}, two cores: {NOTE}", title_justify="left")
    table.add_column("shape", no_wrap=True)
    table.add_column("variant", no_wrap=True)
    table.add_column("weights")
    table.add_column("tokens", justify="right")
    headings = ("nkimoe us", "nkilib us", "times faster", "roofline us", "of roofline", "nkimoe bound by")
    for name in (*headings, "nkilib bound by", "numbers"):
        table.add_column(name, justify="left" if "bound" in name or name == "numbers" else "right")
    for row in rows:
        table.add_row(*_row(row, notes))
    return table


def _row(row: dict[str, Any], notes: list[str]) -> list[str]:
    ours, theirs, roofline = row["nkimoe"], row["nkilib"], row["roofline_us"]
    return [
        row["shape"]["name"],
        row["variant"],
        row["weights"],
        str(row["shape"]["T"]),
        _latency(ours, notes),
        _latency(theirs, notes),
        "" if row["ratio"] is None else str(Ratio(**row["ratio"])),
        f"{roofline:.0f}",
        "" if ours["latency_us"] is None else f"{roofline / ours['latency_us']:.0%}",
        ours["bound_by"] or "",
        theirs["bound_by"] or "",
        _numbers(row["numbers"], notes),
    ]


def _latency(cell: dict[str, Any], notes: list[str]) -> str:
    if cell["latency_us"] is None:
        return f"refused {_note(cell['refused'], notes)}"
    marks = [_note(f"the simulator reports {code} {count} times", notes) for code, count in cell["findings"].items()]
    return " ".join((f"{cell['latency_us']:.0f}, B {cell['block_size']} {cell['slots']}", *marks))


def _numbers(numbers: dict[str, Any] | None, notes: list[str]) -> str:
    """Errors against the fp32 reference, nkimoe's then nki-library's."""
    if numbers is None:
        return "not compared"
    parts = []
    for name in ("nkimoe", "nkilib"):
        result = numbers[name]
        parts.append(_note(result, notes) if isinstance(result, str) else f"{result:.1e}")
    return f"{parts[0]}, {parts[1]}"


def _note(text: str, notes: list[str]) -> str:
    if text not in notes:
        notes.append(text)
    return f"[{notes.index(text) + 1}]"
