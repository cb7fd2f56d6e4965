"""The comparison as tables of the documentation."""

from __future__ import annotations

from typing import Any

from marked_page import grid

from comparison.measure import Cell, Ratio, ratio

_HEADINGS = [
    "layer", "weights", "tokens", "nkimoe us", "nki-library us", "times faster", "roofline us", "of roofline",
    "nkimoe bound by",
]  # fmt: skip


def page_lines(report: dict[str, Any]) -> list[str]:
    """What all ratios lie between, then a table a variant, then what refusals and marks say."""
    rows, notes = report["rows"], []
    lines = ["", summary(rows), ""]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == variant]
        lines += [f"### {variant}, {own[0]['target']}", "", *grid(_HEADINGS, [_row(row, notes) for row in own]), ""]
    return [*lines, *(f"{number}. {note}" for number, note in enumerate(notes, 1)), ""]


def summary(rows: list[dict[str, Any]]) -> str:
    """One sentence about all pairs that both libraries run, each beside the best of nki-library's kernels for it."""
    pairs: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        pairs.setdefault((row["target"], row["implementation"], row["shape"]["name"]), []).append(row)
    ratios = [found for pair in pairs.values() if (found := _beside_the_best(pair)) is not None]
    nominal = [ratio.nominal for ratio in ratios]
    reached = [row["roofline_us"] / row["nkimoe"]["latency_us"] for row in rows if row["nkimoe"]["latency_us"]]
    slower = sum(ratio.least < 1 for ratio in ratios)
    return (
        f"On the {len(ratios)} pairs of layer and variant that both run, nkimoe is predicted {min(nominal):.1f} to "
        f"{max(nominal):.1f} times faster than nki-library's best kernel; over both orders and all corners "
        f"{min(r.least for r in ratios):.1f} to {max(r.most for r in ratios):.1f}; {slower or 'none'} of them turned "
        f"around by an order or a corner. nkimoe reaches {min(reached):.0%} to {max(reached):.0%} of the roofline."
    )


def _beside_the_best(rows: list[dict[str, Any]]) -> Ratio | None:
    """One prediction of ours beside several kernels of theirs: the fastest of them in each scenario."""
    theirs: dict[str, float] = {}
    for row in rows:
        for name, us in row["nkilib"]["scenarios_us"].items():
            theirs[name] = min(us, theirs.get(name, us))
    return ratio(Cell(**rows[0]["nkimoe"]), Cell(scenarios_us=theirs))


def _row(row: dict[str, Any], notes: list[str]) -> list[str]:
    ours, theirs, roofline = row["nkimoe"], row["nkilib"], row["roofline_us"]
    return [
        row["shape"]["name"], row["weights"], f"{row['shape']['T']:,}", _latency(ours, notes), _latency(theirs, notes),
        str(Ratio(**row["ratio"])) if row["ratio"] else "", f"{roofline:,.0f}",
        f"{roofline / ours['latency_us']:.0%}" if ours["latency_us"] else "", ours["bound_by"] or "",
    ]  # fmt: skip


def _latency(cell: dict[str, Any], notes: list[str]) -> str:
    if cell["latency_us"] is None:
        return f"refuses ({_note(_short(cell['refused']), notes)})"
    every = cell["scenarios_us"].values()
    marks = [_note(f"the simulator reports {code} in this run", notes) for code in cell["findings"]]
    found = f" ({', '.join(map(str, marks))})" if marks else ""
    slots = f"B {cell['block_size']}" + (" pairs" if cell["slots"] == "pairs" else "")
    return f"{cell['latency_us']:,.0f} ({min(every):,.0f} to {max(every):,.0f}), {slots}{found}"


def _short(reason: str) -> str:
    """The code and the rule, without the place."""
    return reason.split(";")[0]


def _note(text: str, notes: list[str]) -> int:
    if text not in notes:
        notes.append(text)
    return notes.index(text) + 1
