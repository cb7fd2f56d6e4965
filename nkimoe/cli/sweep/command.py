"""nkimoe sweep: a layer in many layouts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from nkimoe.cli.experiment import Setup
from nkimoe.cli.layer_data import read_text
from nkimoe.cli.options import AUTO, WEIGHT_FORMATS, usage_errors
from nkimoe.cli.refusals import refusals
from nkimoe.cli.sweep.axes import AxisNames, AxisNumbers
from nkimoe.cli.sweep.files import check_table, write_csv, write_json, write_parquet
from nkimoe.cli.sweep.grid import MOST_POINTS, Grid
from nkimoe.cli.sweep.judge import COST, LATENCY, OBJECTIVES, judged
from nkimoe.cli.sweep.layers import layer_options, layers_of
from nkimoe.cli.sweep.picture import draw
from nkimoe.cli.sweep.point import Outcome, predict, request_of
from nkimoe.cli.sweep.row import Point, SweepRow
from nkimoe.cli.sweep.table import live_table, reasons, table_of
from nkimoe.planning.targets import TARGETS
from nkimoe.planning.variants import VARIANTS
from nkimoe.routing.made_up import GivenRouting
from nkimoe.routing.named import routing_named
from nkimoe.spec import BlockShardStrategy
from nkimoe.sweep.store import Store
from nkisim.report.pictures import PictureError, check_picture

FILE = click.Path(path_type=Path, dir_okay=False)
ROUTER = "router"
INTERRUPTED = 130  # exit status of a command that Ctrl-C ended
VARIANT_NAMES = tuple(variant.name for variant in VARIANTS.values())
STRATEGIES = tuple(BlockShardStrategy.__members__)


@dataclass(frozen=True)
class Sweeping:
    """How the points of a sweep become rows.

    Attributes:
        store: of earlier predictions; None: nothing is kept.
        price_per_hour: of what one rank runs on.
    """

    store: Store | None
    price_per_hour: float | None

    def known(self, point: Point) -> SweepRow | None:
        """The row of a point that is impossible, or was predicted in an earlier sweep."""
        if point.setup is None:
            return self.row(point, Outcome(None, point.reason))
        found = None if self.store is None else self.store.get(request_of(point.setup))
        return None if found is None else self.row(point, Outcome.from_json(found))

    def row(self, point: Point, outcome: Outcome) -> SweepRow:
        return SweepRow(point, outcome, self.price_per_hour)

    def keep(self, setup: Setup, outcome: Outcome) -> None:
        """For later sweeps, if it is a prediction."""
        if self.store is not None and outcome.prediction is not None:
            self.store.keep(request_of(setup), outcome.as_json())


@click.command()
@layer_options
@click.option("--tokens", type=AxisNumbers(), default="640", show_default=True, help="512..8192 doubles; 1..9+2 adds.")
@click.option("--tp", type=AxisNumbers(), default="4", show_default=True, help="Ranks that share an expert's columns.")
@click.option(
    "--ep", type=AxisNumbers(), default="1", show_default=True, help="Groups of ranks that share the experts."
)
@click.option(
    "--variant",
    type=AxisNames((AUTO, *VARIANT_NAMES), VARIANT_NAMES),
    default=AUTO,
    show_default=True,
    help="`all`: each.",
)
@click.option("--block-size", type=AxisNumbers(AUTO), default=AUTO, show_default=True, help="Slots.")
@click.option(
    "--strategy",
    type=AxisNames(STRATEGIES, STRATEGIES),
    default="HI_LO",
    show_default=True,
    help="Which blocks a core takes.",
)
@click.option(
    "--weights", type=AxisNames(WEIGHT_FORMATS, WEIGHT_FORMATS), default="bf16", show_default=True, help="Their format."
)
@click.option(
    "--target", type=AxisNames(tuple(TARGETS), tuple(TARGETS)), default="trn2", show_default=True, help="Machines."
)
@click.option("--lnc", type=click.Choice(["1", "2"]), default="2", show_default=True, help="NeuronCores of a rank.")
@click.option("--routing", type=AxisNames(), default=ROUTER, show_default=True, help="uniform, zipf:EXPONENT, a file.")
@click.option("--routing-layer", type=click.IntRange(0), help="Layer of the files; by default their first.")
@click.option("--price-per-hour", type=click.FloatRange(0, min_open=True), help="Of what one rank runs on.")
@click.option("--objective", type=click.Choice(list(OBJECTIVES)), help="[default: cost with a price, else latency]")
@click.option(
    "--engine",
    type=click.Choice(["processes", "dask"]),
    default="processes",
    show_default=True,
    help="Where points run.",
)
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default one a processor.")
@click.option("--scheduler", help="Of the Dask cluster: tcp://HOST:PORT.")
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False), help="Where predictions are kept.")
@click.option("--no-cache", is_flag=True, help="Keep nothing, and use nothing kept.")
@click.option("--csv", type=FILE, help="Write the rows, with version, clock and command.")
@click.option("--json", type=FILE, help="Write the rows, and why which is best.")
@click.option("--parquet", type=FILE, help="Needs nkimoe[parquet].")
@click.option("--picture", type=FILE, help="Latency and tokens a second against tokens (png, svg, pdf).")
def sweep(**options: Any) -> None:
    """Predict a layer in every combination of the axes, of which each is one value, a list or a range.

    What cannot be is listed with the reason. Predictions are kept, so a sweep that was stopped goes on where it was.
    """
    _check_files(options)
    grid = _grid(options)
    sweeping = Sweeping(_store(options), options["price_per_hour"])
    objective = options["objective"] or (LATENCY if options["price_per_hour"] is None else COST)
    if objective == COST and options["price_per_hour"] is None:
        raise click.UsageError("--objective cost needs --price-per-hour.")
    points = list(grid.points())
    with refusals():
        rows, was_interrupted = _swept(points, sweeping, options)
        _report(rows, objective, options)
    if was_interrupted:
        click.echo(f"interrupted: {len(rows)} of {len(points)} points; the same command goes on here", err=True)
        sys.exit(INTERRUPTED)


def _grid(options: dict[str, Any]) -> Grid:
    axes = {name: options[name] for name in _AXES}
    grid = Grid(layers_of(options), axes, _routings(options), int(options["lnc"]), read_text(None))
    if grid.size > MOST_POINTS:
        raise click.UsageError(f"the axes have {grid.size:,} points: leave some values out, {MOST_POINTS:,} are many.")
    return grid


_AXES = ("tokens", "tp", "ep", "variant", "block_size", "strategy", "weights", "target")


def _routings(options: dict[str, Any]) -> dict[str, GivenRouting | None]:
    with usage_errors():
        return {
            name: None if name == ROUTER else routing_named(name, _layer_of(name, options["routing_layer"]))
            for name in options["routing"]
        }


def _layer_of(name: str, layer: int | None) -> int | None:
    """The layer belongs to files alone."""
    return layer if Path(name).suffix else None


def _store(options: dict[str, Any]) -> Store | None:
    if options["no_cache"]:
        if options["cache"] is not None:
            raise click.UsageError("--cache and --no-cache contradict each other.")
        return None
    return Store(options["cache"]) if options["cache"] is not None else Store.of_user()


def _check_files(options: dict[str, Any]) -> None:
    for name in ("csv", "json", "parquet"):
        if options[name] is not None:
            check_table(options[name], name)
    if options["picture"] is not None:
        check_table(options["picture"], "picture")
        try:
            check_picture(options["picture"])
        except PictureError as error:
            raise click.UsageError(f"--picture {error}") from None


def _swept(points: Sequence[Point], sweeping: Sweeping, options: dict[str, Any]) -> tuple[list[SweepRow], bool]:
    """Rows in the order of the points, and whether Ctrl-C came before the last."""
    rows: dict[int, SweepRow] = {}
    waiting: list[int] = []
    with live_table(len(points), Console(stderr=True)) as live:
        for number, point in enumerate(points):
            row = sweeping.known(point)
            if row is None:
                waiting.append(number)
            else:
                rows[number] = row
                live.add(row)
        was_interrupted = False
        setups = [setup for number in waiting if (setup := points[number].setup) is not None]
        try:
            for n, outcome in _outcomes(setups, options):
                sweeping.keep(setups[n], outcome)
                rows[waiting[n]] = sweeping.row(points[waiting[n]], outcome)
                live.add(rows[waiting[n]])
        except KeyboardInterrupt:
            was_interrupted = True
    return [rows[number] for number in sorted(rows)], was_interrupted


def _outcomes(setups: Sequence[Setup], options: dict[str, Any]) -> Iterator[tuple[int, Outcome]]:
    """By number, in the order in which they are found."""
    from nkimoe.sweep.engine import DaskCluster, Engine, Processes, results

    if (options["engine"] == "dask") != (options["scheduler"] is not None):
        raise click.UsageError("--engine dask and --scheduler tcp://HOST:PORT go together.")
    jobs = options["jobs"] or min(os.cpu_count() or 1, max(1, len(setups)))
    engine: Engine = DaskCluster(options["scheduler"]) if options["scheduler"] else Processes(jobs)
    yield from results(engine, predict, setups)


def _report(rows: list[SweepRow], objective: str, options: dict[str, Any]) -> None:
    """The table, the best rows, and the files."""
    finished, verdicts = judged(rows, objective)
    console = Console(width=None if sys.stdout.isatty() else 200)
    if finished:
        console.print(table_of(finished))
    for line in reasons(finished):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for verdict in verdicts:
        console.print(f"best: {verdict.describe()}", markup=False, highlight=False, soft_wrap=True)
    if options["csv"] is not None:
        write_csv(options["csv"], finished)
    if options["json"] is not None:
        write_json(options["json"], finished, verdicts)
    if options["parquet"] is not None:
        write_parquet(options["parquet"], finished)
    if options["picture"] is not None:
        draw(finished, options["picture"])
    for name in ("csv", "json", "parquet", "picture"):
        if options[name] is not None:
            click.echo(f"wrote {options[name]}")
