"""Latencies nkisim predicts beside what others measured on devices and published.

Without --trace-to or --from: traces what is missing into the user's cache, prices all of it and prints the tables. With
--trace-to: only the traces. With --from: only the tables, of traces made before, whatever the clock is by now.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]  # the driver of public kernels

GROUPS = ("measurements", "matmul", "fusion", "nkilib")


@click.command(help=__doc__)
@click.option(
    "--nkilib", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Checkout of nki-library."
)
@click.option("--only", type=click.Choice(GROUPS), multiple=True, help="Trace no other groups.")
@click.option("--match", default="", help="Only cases whose family and name contain this.")
@click.option("--largest", default=100.0, show_default=True, help="Trace no simulation of more GFLOP.")
@click.option("--trace-to", type=click.Path(path_type=Path, file_okay=False), help="Trace into this folder, and stop.")
@click.option("--from", "folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Trace nothing.")
@click.option("--parallel", default=2, show_default=True, help="Processes that price.")
@click.option("--fit-launch", is_flag=True, help="Fit launches on the fit half, and use them.")
@click.option("--checks", is_flag=True, help="Print every single measurement too.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all rows.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Renew the tables of this page.")
def main(
    nkilib: Path | None, only: tuple[str, ...], match: str, largest: float, trace_to: Path | None, folder: Path | None,
    parallel: int, fit_launch: bool, checks: bool, json_file: Path | None, page: Path | None,
) -> None:  # fmt: skip
    from calibrate import launch_fit, pages, pricing, summary

    from nkisim.report.files import write_whole

    if folder is None:
        folder = _traced(trace_to, only, nkilib, match, largest)
        if trace_to is not None:
            return
    rows = [row for row in pricing.price(folder, parallel) if match in f"{row.case.family} {row.case.name}"]
    if fit_launch:
        click.echo(launch_fit.text(rows))
        rows = launch_fit.with_launches(rows, launch_fit.fitted(rows))
    click.echo(summary.text(rows))
    if checks:
        click.echo(summary.checks(rows))
    if json_file is not None:
        write_whole(json_file, json.dumps([row.as_dict() for row in rows], indent=1) + "\n")
    if page is not None:
        write_whole(page, pages.page(page.read_text(encoding="utf-8"), rows))


def _traced(folder: Path | None, groups: tuple[str, ...], nkilib: Path | None, match: str, largest: float) -> Path:
    """Trace what is missing; the folder it is in."""
    from calibrate import tracing
    from calibrate.traces import default_folder, remove_others

    folder, works = folder or default_folder(), tracing.works(groups or GROUPS, nkilib)
    if not groups and nkilib is not None:
        for path in remove_others(folder, [work.case for work in works]):
            click.echo(f"removed {path.name}: no case of today", err=True)
    chosen = [work for work in works if match in f"{work.case.family} {work.case.name}" and work.gflop <= largest]
    for line in tracing.trace(folder, chosen):
        click.echo(line, err=True)
    return folder


if __name__ == "__main__":
    main()
