"""Commands: run, demo, variants, explain, pack, op, tune."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from nkimoe.cli.experiment import Progress, Result, Setup, run_experiment
from nkimoe.cli.layer_data import read_text
from nkimoe.cli.matrix import matrix
from nkimoe.cli.op.command import op
from nkimoe.cli.options import layer_options, make_setup
from nkimoe.cli.outputs import Outputs
from nkimoe.cli.pack import pack
from nkimoe.cli.planning import plan_only
from nkimoe.cli.refusals import WRONG, refusals
from nkimoe.cli.report import show
from nkimoe.cli.tune import tune
from nkimoe.planning.variants import VARIANTS
from nkisim.machine import load_machine
from nkisim.machine_options import MACHINE_OPTION
from nkisim.report.text import describe_changes, describe_sensitivity
from nkisim.what_if import parse_factors, predict_changes

FILE = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """NKI kernels for Mixture-of-Experts prefill on AWS Trainium, run on the nkisim simulator."""


main.add_command(pack)
main.add_command(op)
main.add_command(tune)


@main.command()
@layer_options
@click.option("--json", "json", type=FILE, help="Write the result for scripts.")
@click.option("--trace", type=FILE, help="Write the predicted timeline for ui.perfetto.dev.")
@click.option("--timeline", type=FILE, help="Draw what each engine does when (png, svg, pdf).")
@click.option("--roofline", type=FILE, help="Draw the roofline (png, svg, pdf).")
@click.option("--what-if", metavar="NAME=FACTOR,...", help="Predict again with constants multiplied: hbm=1.2.")
@click.option("--sensitivity", is_flag=True, help="List the constants by their leverage on this layer.")
@click.option("--no-numerics", is_flag=True, help="Shapes, integers and time only: for large layers.")
def run(what_if: str | None, sensitivity: bool, **options: Any) -> None:
    """Simulate one MoE layer, compare it with the reference, predict its time, report."""
    setup = make_setup(options)
    outputs = Outputs.checked(**{name: options[name] for name in Outputs.NAMES})
    result = _run(setup, outputs, _factors(what_if, setup))
    if sensitivity:
        click.echo(describe_sensitivity(result.run.profile))
    _judge(result)


@main.command()
@click.option("--out", type=FILE, default="nkimoe-demo", show_default=True, help="Folder for trace and pictures.")
@click.option("--machine", **MACHINE_OPTION)
def demo(out: Path) -> None:
    """One real layer shape end to end: Qwen3-30B-A3B at TP 4, 640 tokens, two Trn2 cores.

    Checks the result, predicts the time, and writes JSON, a trace for ui.perfetto.dev and two pictures.
    """
    setup = Setup("qwen3-30b-a3b", 4, 640, "shard_on_block", "trn2", 2, 128, "bf16", read_text(None))
    _judge(_run(setup, Outputs.in_folder(out), {}))


@main.command()
@click.option("--json", "as_text", is_flag=True, help="Print JSON.")
@click.option("--matrix", "as_matrix", is_flag=True, help="Print which variant honours which feature.")
def variants(as_text: bool, as_matrix: bool) -> None:
    """The implementations: what the cores split, which loop, which numerics, whether it is available."""
    if as_matrix:
        click.echo(matrix())
        return
    rows = [(v.name, v.split, v.schedule, v.numerics, ", ".join(v.targets), v.status) for v in VARIANTS.values()]
    columns = ("variant", "split", "schedule", "numerics", "targets", "status")
    if as_text:
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
        return
    table = Table(box=None)
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    _console().print(table)


@main.command()
@layer_options
def explain(**options: Any) -> None:
    """Print the plan for a request without running it."""
    with refusals():
        click.echo(plan_only(make_setup(options)).explain())


def _factors(what_if: str | None, setup: Setup) -> dict[str, float]:
    return parse_factors(what_if, load_machine(setup.target)) if what_if else {}


def _run(setup: Setup, outputs: Outputs, factors: dict[str, float]) -> Result:
    console = _console()
    with refusals():
        with _progress() as progress:
            result = run_experiment(setup, progress)
        show(result, console)
        changes = predict_changes(result.run.profile, factors)
        if changes:
            console.print(describe_changes(result.run.profile.latency_us, changes), highlight=False)
        for line in outputs.write(result, changes):
            console.print(line, soft_wrap=True, highlight=False)
    return result


def _judge(result: Result) -> None:
    if result.passed is False:
        sys.exit(WRONG)


def _console() -> Console:
    """The terminal; 120 columns where there is none."""
    return Console(width=None if sys.stdout.isatty() else 120)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A progress bar on standard error, one task a phase."""
    columns = (TextColumn("{task.description:>16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=False) as bar:
        tasks: list[Any] = []

        def start(name: str, total: int) -> None:
            for task in bar.tasks:
                bar.update(task.id, completed=task.total)
            tasks.append(bar.add_task(name, total=total))

        yield Progress(start, lambda: bar.advance(tasks[-1]))


if __name__ == "__main__":
    main()
