"""The results for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

WALL = "wall time on this computer, never device time"


def show(report: dict[str, Any], console: Console) -> None:
    """Print every section the report has."""
    for name, value in report["header"].items():
        console.print(f"{name:>14}  {value}", highlight=False)
    if "layers" in report:
        _layers(report["layers"], report["target_ratio"], console)
    if "shapes_only" in report:
        _shapes_only(report["shapes_only"], console)
    if "profile" in report:
        _profile(report["profile"], console)
    if "equal_kernels" in report:
        _equal_kernels(report["equal_kernels"], console)


def _table(left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in left:
        table.add_column(column, no_wrap=True)
    for column in right:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _title(text: str, console: Console) -> None:
    console.print(f"\n{text}", highlight=False, soft_wrap=True)


def _layers(rows: list[dict[str, Any]], target: float, console: Console) -> None:
    numbers = ("blocks", "instr.", "GFLOP issued", "useful", "nkisim s", "NumPy s", "ratio", "of CPU s")
    _title(f"nkisim against the NumPy reference, medians; {WALL}", console)
    table = _table(("layer",), (*numbers, "result"))
    for row in rows:
        table.add_row(
            f"{row['model']} T={row['tokens']} B={row['block_size']}",
            str(row["blocks"]),
            f"{row['instructions']:,}",
            f"{row['gflop']['issued']:.1f}",
            f"{row['gflop']['useful']:.1f}",
            f"{row['nkisim']['median_s']:.2f}",
            f"{row['reference']['median_s']:.3f}",
            f"{row['ratio']:.1f}",
            f"{row['ratio_of_processor_time']:.1f}",
            _verdict(row),
        )
    console.print(table)
    met = sum(row["ratio_of_processor_time"] <= target for row in rows)
    console.print(
        f"target: a ratio of CPU s (processor time of all threads) of at most {target:g}; met by {met} of {len(rows)}",
        highlight=False,
    )


def _shapes_only(rows: list[dict[str, Any]], console: Console) -> None:
    _title(f"nkisim without numerics, medians; {WALL}", console)
    table = _table(("layer",), ("instr.", "s", "CPU s"))
    for row in rows:
        times = row["nkisim"]
        table.add_row(
            f"{row['model']} T={row['tokens']} B={row['block_size']}",
            f"{row['instructions']:,}",
            f"{times['median_s']:.2f}",
            f"{times['median_processor_s']:.2f}",
        )
    console.print(table)


def _profile(profile: dict[str, Any], console: Console) -> None:
    _title(
        f"where {profile['layer']} goes, on one core under cProfile: {profile['profiled_s']:.2f} s "
        f"({profile['unprofiled_s']:.2f} s without it)",
        console,
    )
    table = _table(("part",), ("s", "share"))
    for name, part in profile["groups"].items():
        table.add_row(name, f"{part['seconds']:.2f}", f"{100 * part['share']:.0f}%")
    console.print(table)
    console.print(
        f"without the profiler {profile['unprofiled_processor_s']:.2f} CPU s; its bare matmuls in NumPy take "
        f"{profile['bare_matmuls_processor_s']:.2f}",
        highlight=False,
    )
    _title("most time of their own", console)
    functions = _table(("function",), ("calls", "own s", "with calls s"))
    for row in profile["functions"]:
        functions.add_row(row["function"], f"{row['calls']:,}", f"{row['own_s']:.3f}", f"{row['total_s']:.3f}")
    console.print(functions)


def _equal_kernels(section: dict[str, Any], console: Console) -> None:
    for task in section["tasks"]:
        _title(f"{task['task']} {task['sizes']}, fp32, {task['gflop']:.2f} GFLOP; {WALL}", console)
        table = _table(
            ("system", "version"), ("first s", "median s", "s per GFLOP", "CPU s per GFLOP", "max error", "result")
        )
        for name, row in task["systems"].items():
            table.add_row(
                name,
                section["versions"].get(name, ""),
                f"{row['first_s']:.2f}",
                f"{row['median_s']:.4f}",
                f"{row['seconds_per_gflop']:.4f}",
                f"{row['processor_seconds_per_gflop']:.4f}",
                f"{row['max_error']:.1e}",
                _verdict(row),
            )
        console.print(table)
    for name, why in section["missing"].items():
        console.print(f"{name}: {why}", highlight=False)


def _verdict(row: dict[str, Any]) -> str:
    return "correct" if row["correct"] else "WRONG"
