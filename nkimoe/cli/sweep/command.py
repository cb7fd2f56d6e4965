# SPDX-License-Identifier: Apache-2.0
"""nkimoe sweep: a layer in many layouts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from nkimoe.cli.experiment import Setup
from nkimoe.cli.keeping import engine_of, store_of
from nkimoe.cli.layer_data import read_text
from nkimoe.cli.options import tuned_layers, usage_errors
from nkimoe.cli.refusals import refusals
from nkimoe.cli.sweep.files import check_files, write_csv, write_json, write_parquet
from nkimoe.cli.sweep.grid import MOST_POINTS, Grid
from nkimoe.cli.sweep.judge import COST, LATENCY, judged
from nkimoe.cli.sweep.layers import layers_of, wholes_of
from nkimoe.cli.sweep.options import BEST_ALONE, ROUTER, sweep_options
from nkimoe.cli.sweep.picture import draw
from nkimoe.cli.sweep.point import Outcome, predict
from nkimoe.cli.sweep.row import Point, SweepRow
from nkimoe.cli.sweep.screening import promising
from nkimoe.cli.sweep.sweeping import Sweeping
from nkimoe.cli.sweep.table import lines_of, live_table, reasons
from nkimoe.models import RankLayout
from nkimoe.routing.made_up import GivenRouting
from nkimoe.routing.named import routing_named
from nkisim.command_help import SectionedCommand, examples
from nkisim.machine import load_machine

FILES = ("csv", "json", "parquet", "picture")
INTERRUPTED = 130  # exit status of a command that Ctrl-C ended


@click.command(cls=SectionedCommand, epilog=examples(
    "nkimoe sweep --model qwen3-235b-a22b --tokens 512..8192 --tp 2,4,8 --ep 1..16 --csv rows.csv --picture rows.png",
    "nkimoe sweep --config config.json --tokens 4096 --tp 4 --ep 1..8 --weights bf16,mxfp8 --target trn3",
    "nkimoe sweep --model gpt-oss-120b --tokens 1024..32768 --ranks 8 --tp 1..8 --predict best --picture best.png",
    "nkimoe sweep --hidden 5120 --intermediate 1536 --experts 160 --top-k 6 --block-size 64,128,256 --variant all",
))  # fmt: skip
@sweep_options
def sweep(**options: Any) -> None:
    """Predict a layer in every combination of the axes, of which each is one value, a list or a range.

    What cannot be is listed with the reason. Predictions are kept, so a sweep that was stopped goes on where it was.
    """
    check_files(options, FILES)
    grid = _grid(options)
    sweeping = Sweeping(store_of(options), options["price_per_hour"])
    objective = options["objective"] or (LATENCY if options["price_per_hour"] is None else COST)
    if objective == COST and options["price_per_hour"] is None:
        raise click.UsageError("--objective cost needs --price-per-hour.")
    points = list(grid.points())
    with refusals():
        rows, was_interrupted = _swept(points, sweeping, objective, options)
        _report(rows, objective, options)
    if was_interrupted:
        click.echo(f"interrupted: {len(rows)} of {len(points)} points; the same command goes on here", err=True)
        sys.exit(INTERRUPTED)


def _grid(options: dict[str, Any]) -> Grid:
    axes = {name: options[name] for name in _AXES}
    tuned = tuned_layers(options["tuned"])
    wholes = {} if options["ignore_memory"] else wholes_of(options)
    grid = Grid(
        layers_of(options), _ranks(options), axes, _routings(options), int(options["lnc"]), read_text(None), tuned,
        wholes,
    )  # fmt: skip
    if grid.size > MOST_POINTS:
        raise click.UsageError(f"the axes have {grid.size:,} points: leave some values out, {MOST_POINTS:,} are many.")
    return grid


_AXES = ("tokens", "variant", "block_size", "strategy", "weights", "target")


def _ranks(options: dict[str, Any]) -> list[RankLayout]:
    """All combinations of --tp and --ep, or those that make --ranks."""
    if options["ranks"] is None:
        return [RankLayout(tp, ep) for tp in options["tp"] for ep in options["ep"] or (1,)]
    if options["ep"] is not None:
        raise click.UsageError("--ranks and --ep contradict each other: ranks over --tp are --ep.")
    found = [RankLayout(tp, ranks // tp) for ranks in options["ranks"] for tp in options["tp"] if ranks % tp == 0]
    if not found:
        raise click.UsageError(f"--ranks {options['ranks'][0]}: no --tp divides them. Give one that does.")
    return found


def _routings(options: dict[str, Any]) -> dict[str, GivenRouting | None]:
    with usage_errors():
        return {
            name: None if name == ROUTER else routing_named(name, _layer_of(name, options["routing_layer"]))
            for name in options["routing"]
        }


def _layer_of(name: str, layer: int | None) -> int | None:
    """The layer belongs to files alone."""
    return layer if Path(name).suffix else None


def _swept(
    points: Sequence[Point], sweeping: Sweeping, objective: str, options: dict[str, Any]
) -> tuple[list[SweepRow], bool]:
    """Rows in the order of the points, and whether Ctrl-C came before the last was done; then those that are."""
    rows = {number: sweeping.row(point) for number, point in enumerate(points)}
    is_done = {number for number, row in rows.items() if row.is_done}
    with live_table(Console(stderr=True)) as live:
        for number in is_done:
            live.add(rows[number])
        try:
            while waiting := _waiting(rows, objective, options):
                live.expect(len(waiting))
                setups = [setup for number in waiting if (setup := points[number].setup) is not None]
                for n, outcome in _outcomes(setups, options):
                    rows[waiting[n]] = sweeping.predicted(points[waiting[n]], outcome)
                    live.add(rows[waiting[n]])
        except KeyboardInterrupt:
            return [row for row in rows.values() if row.is_done], True
    return list(rows.values()), False


def _waiting(rows: dict[int, SweepRow], objective: str, options: dict[str, Any]) -> list[int]:
    """Rows to predict next."""
    asked = promising(rows, objective) if options["predict"] == BEST_ALONE else list(rows)
    return [number for number in asked if not rows[number].is_done]


def _outcomes(setups: Sequence[Setup], options: dict[str, Any]) -> Iterator[tuple[int, Outcome]]:
    """By number, in the order in which they are found."""
    from nkimoe.sweep.engine import results

    engine = engine_of(options, options["jobs"] or min(os.cpu_count() or 1, max(1, len(setups))))
    machines = {setup.target: load_machine(setup.target) for setup in setups}
    yield from results(engine, partial(predict, machines), setups)


def _report(rows: list[SweepRow], objective: str, options: dict[str, Any]) -> None:
    """The table, the best rows, and the files."""
    finished, verdicts = judged(rows, objective)
    for line in (*lines_of(finished), *reasons(finished), *(f"best: {verdict.describe()}" for verdict in verdicts)):
        click.echo(line)
    if options["csv"] is not None:
        write_csv(options["csv"], finished)
    if options["json"] is not None:
        write_json(options["json"], finished, verdicts)
    if options["parquet"] is not None:
        write_parquet(options["parquet"], finished)
    if options["picture"] is not None:
        draw(finished, options["picture"])
    for name in FILES:
        if options[name] is not None:
            click.echo(f"wrote {options[name]}")
