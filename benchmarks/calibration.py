"""Latencies nkisim predicts beside latencies published for the same work on hardware.

Writes a table: predicted, published, their ratio, where the number is published, and whether it was used to fit a
constant of the machine file. Rows that were, or whose published number is doubtful, are left out of the summary.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]  # the driver of public kernels

GROUPS = ("instructions", "transfers", "matmul", "nkilib")


@click.command(help=__doc__)
@click.option(
    "--nkilib", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Checkout of nki-library."
)
@click.option("--only", type=click.Choice(GROUPS), multiple=True, help="Leave the other groups out.")
@click.option("--match", default="", help="Only cases whose group and name contain this.")
@click.option("--largest", default=100.0, show_default=True, help="Leave out simulations of more GFLOP.")
@click.option("--parallel", default=1, show_default=True, help="Simulations at a time.")
@click.option("--seconds", default=600, show_default=True, help="Time a simulation gets.")
@click.option("--memory", default=12.0, show_default=True, help="GiB a simulation may take.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all rows.")
@click.option("--earlier", type=click.Path(path_type=Path, exists=True), multiple=True, help="Add rows of a --json.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Renew the tables of this page.")
def main(
    nkilib: Path | None, only: tuple[str, ...], match: str, largest: float, parallel: int, seconds: int, memory: float,
    json_file: Path | None, earlier: tuple[Path, ...], page: Path | None,
) -> None:  # fmt: skip
    from calibrate import page as pages
    from conformance.isolation import run_all

    chosen = [
        case
        for case in _cases(only or GROUPS, nkilib)
        if match in f"{case.group} {case.name}" and case.gflop <= largest
    ]
    by_number = {str(number): case for number, case in enumerate(chosen)}
    work = [(number, _child(case)) for number, case in by_number.items()]
    results: dict[str, list[dict[str, Any]]] = {}
    for result in run_all(work, seconds=seconds, memory_gib=memory, parallel=parallel):
        rows = results[result["name"]] = by_number[result["name"]].rows(result)
        click.echo("\n".join(pages.line(row) for row in rows), err=True)
    rows = [row for file in earlier for row in json.loads(file.read_text(encoding="utf-8"))]
    rows += [row for number in by_number for row in results[number]]
    click.echo(pages.summary(rows))
    if json_file is not None:
        json_file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if page is not None:
        page.write_text(pages.page(page.read_text(encoding="utf-8"), rows), encoding="utf-8")


def _child(case: Any) -> Any:
    return lambda: {"status": "pass", "predicted": case.predict()}


def _cases(groups: Iterable[str], nkilib: Path | None) -> list[Any]:
    import nkisim

    nkisim.install()
    cases = []
    if "instructions" in groups:
        from calibrate import instructions

        cases += instructions.cases()
    if "transfers" in groups:
        from calibrate import transfers

        cases += transfers.cases()
    if "matmul" in groups:
        from calibrate import matmul

        cases += matmul.cases()
    if "nkilib" in groups and nkilib is not None:
        from calibrate import nkilib as library

        cases += library.cases(nkilib)
    return cases


if __name__ == "__main__":
    main()
