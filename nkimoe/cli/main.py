# SPDX-License-Identifier: Apache-2.0
"""Commands: run, demo, variants, explain, pack, op, tune, sweep, model."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from nkimoe.cli.auto import alternatives, fixed_by
from nkimoe.cli.experiment import Progress, Result, Setup, beside_uniform, run_experiment
from nkimoe.cli.layer_data import read_text
from nkimoe.cli.matrix import as_markdown, as_text
from nkimoe.cli.model.command import model
from nkimoe.cli.op.command import op
from nkimoe.cli.options import PREDICTION, RESULTS, SIMULATION, layer_options, make_setup
from nkimoe.cli.outputs import Outputs
from nkimoe.cli.pack import pack
from nkimoe.cli.planning import plan_only
from nkimoe.cli.refusals import WRONG, refusals
from nkimoe.cli.report import as_lines
from nkimoe.cli.sweep.command import sweep
from nkimoe.cli.tune import tune
from nkimoe.cli.why import lines_of
from nkimoe.planning.variants import VARIANTS
from nkisim.command_help import OneLineGroup, SectionedCommand, examples, version_option
from nkisim.machine import load_machine
from nkisim.machine_options import MACHINE_OPTION, using_machine
from nkisim.report.tables import aligned
from nkisim.report.text import describe_changes, describe_sensitivity
from nkisim.what_if import parse_factors, predict_changes

FILE = click.Path(path_type=Path)


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@version_option("nkimoe")
def main() -> None:
    """NKI kernels for Mixture-of-Experts prefill on AWS Trainium, run on the nkisim simulator."""


main.add_command(pack)
main.add_command(op)
main.add_command(tune)
main.add_command(sweep)
main.add_command(model)


@main.command(cls=SectionedCommand, epilog=examples(
    "nkimoe run",
    "nkimoe run --model gpt-oss-20b --tp 8 --tokens 512 --weights mxfp4 --target trn3",
    "nkimoe run --model qwen3-30b-a3b --tokens 8192 --no-numerics --what-if hbm=1.2 --json out.json --trace trace.json",
    "nkimoe run --checkpoint folder --layer 3 --prompt 'A text.'",
))  # fmt: skip
@layer_options
@SIMULATION("--no-numerics", is_flag=True, help="Shapes, integers and time only: for large layers.")
@PREDICTION("--what-if", metavar="NAME=FACTOR,...", help="Predict again with constants multiplied: hbm=1.2.")
@PREDICTION("--sensitivity", is_flag=True, help="List the constants by their leverage on this layer.")
@RESULTS("--json", "json", type=FILE, help="Write the result for scripts.")
@RESULTS("--trace", type=FILE, help="Write the predicted timeline for ui.perfetto.dev.")
@RESULTS("--timeline", type=FILE, help="Draw what each engine does when (png, svg, pdf).")
@RESULTS("--roofline", type=FILE, help="Draw the roofline (png, svg, pdf).")
@RESULTS(
    "--html", type=FILE, help="Write a page: source with what each line costs, timeline, memory, roofline, advice."
)
def run(what_if: str | None, sensitivity: bool, **options: Any) -> None:
    """Simulate one MoE layer, compare it with the reference, predict its time, report."""
    setup = make_setup(options)
    outputs = Outputs.checked(**{name: options[name] for name in Outputs.NAMES})
    result = _run(setup, outputs, _factors(what_if, setup))
    if sensitivity:
        click.echo(describe_sensitivity(result.run.profile))
    _judge(result)


@main.command(cls=SectionedCommand, epilog=examples("nkimoe demo", "nkimoe demo --out folder"))
@click.option("--out", type=FILE, default="nkimoe-demo", show_default=True, help="Folder for trace and pictures.")
@SIMULATION("--machine", **MACHINE_OPTION)
@using_machine
def demo(out: Path) -> None:
    """One real layer shape end to end: Qwen3-30B-A3B at TP 4, 640 tokens, two Trn2 cores.

    Checks the result, predicts the time, and writes a page of everything, a trace for ui.perfetto.dev, JSON and two
    pictures.
    """
    setup = Setup("qwen3-30b-a3b", 4, 640, "shard_on_block", "trn2", 2, 128, "bf16", read_text(None))
    _judge(_run(setup, Outputs.in_folder(out), {}))


@main.command(cls=SectionedCommand, epilog=examples(
    "nkimoe variants", "nkimoe variants --matrix", "nkimoe variants --matrix --markdown"
))  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--matrix", "is_matrix", is_flag=True, help="Print which variant honours which feature.")
@click.option("--markdown", is_flag=True, help="The matrix as a page of documentation has it.")
def variants(as_json: bool, is_matrix: bool, markdown: bool) -> None:
    """The implementations: what the cores split, which loop, which numerics."""
    if markdown and not is_matrix:
        raise click.UsageError("--markdown is for --matrix.")
    if is_matrix:
        click.echo(as_markdown() if markdown else as_text(_width()))
        return
    rows = [(v.name, v.split, v.schedule, v.numerics, ", ".join(v.targets), v.status) for v in VARIANTS.values()]
    columns = ("variant", "split", "schedule", "numerics", "targets", "status")
    if as_json:
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
        return
    click.echo("\n".join(aligned([row[:-1] for row in (columns, *rows)])))
    for v in VARIANTS.values():
        if not v.is_available:
            click.echo(f"{v.name}: {v.status}")


@main.command(cls=SectionedCommand, epilog=examples(
    "nkimoe explain --model qwen3-30b-a3b --tp 4 --tokens 640",
    "nkimoe explain --variant shard_on_i_hybrid --weights fp8-row",
    "nkimoe explain --model mixtral-8x7b --tp 16 --tokens 4096 --why",
))  # fmt: skip
@layer_options
@PREDICTION("--why", is_flag=True, help="Print what was chosen among, and why others cannot be.")
def explain(why: bool, **options: Any) -> None:
    """Print the plan for a request without running it."""
    setup = make_setup(options)
    if why:
        click.echo("\n".join(lines_of(alternatives(setup, fixed_by(options)))))
    with refusals():
        click.echo(plan_only(setup).explain())


def _factors(what_if: str | None, setup: Setup) -> dict[str, float]:
    return parse_factors(what_if, load_machine(setup.target)) if what_if else {}


def _run(setup: Setup, outputs: Outputs, factors: dict[str, float]) -> Result:
    with refusals():
        with _progress() as progress:
            result = beside_uniform(run_experiment(setup, progress), progress)
        click.echo("\n".join(as_lines(result, _width())))
        changes = predict_changes(result.run.profile, factors)
        if changes:
            click.echo(describe_changes(result.run.profile.latency_us, changes))
        for line in outputs.write(result, changes):
            click.echo(line)
    return result


def _judge(result: Result) -> None:
    if result.passed is False:
        sys.exit(WRONG)


def _width() -> int:
    """Columns of the terminal; 120 where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 120


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
