# SPDX-License-Identifier: Apache-2.0
"""nkimoe tune: fill a tuned table with what is predicted fastest."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from nkimoe.cli.options import SIMULATION
from nkimoe.cli.refusals import REFUSED, refusals
from nkimoe.cli.tuned_layers import LAYERS, layer_options, layers_of
from nkimoe.errors import RequestError, require
from nkimoe.tuning.layer_key import LayerKey
from nkimoe.tuning.peer_table import read_peer_table
from nkimoe.tuning.search import best_row, space_of
from nkimoe.tuning.stages import Stages
from nkimoe.tuning.table import TunedTable, read_table
from nkimoe.tuning.tuned_row import TunedRow
from nkimoe.tuning.writer import add_to_table
from nkisim.command_help import OneOf, SectionedCommand, examples
from nkisim.machine_options import machine_options
from nkisim.report.files import check_writable
from nkisim.timing import CLOCK

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=SectionedCommand, epilog=examples(
    "nkimoe tune tuned.csv --model qwen3-30b-a3b --tp 4 --tokens 64 --tokens 1024",
    "nkimoe tune tuned.csv --shape 4096 1536 8 2 --quantization int8_w8a8",
    "nkimoe tune tuned.csv --peer-table tuned_fmoe.csv --target trn3",
))  # fmt: skip
@click.argument("table", type=FILE)
@layer_options
@LAYERS("--peer-table", type=FILE, help="Also the layers of one of aiter's tuned_fmoe files.")
@machine_options(default="trn2")
@SIMULATION("--lnc", type=OneOf(["1", "2"]), default="2", show_default=True, help="NeuronCores.")
@SIMULATION("--again", is_flag=True, help="Predict rows that are there already, too.")
def tune(table: Path, peer_table: Path | None, target: str, lnc: str, again: bool, **options: object) -> None:
    """Fill TABLE, a CSV file, with the fastest predicted choice for each layer and number of tokens.

    Every row is written when it is found: a run that was stopped goes on where it was. Rows that are there are not
    predicted again, unless they are of another clock.
    """
    with refusals():
        check_writable(table)
        layers = layers_of(options) + _layers_of_peer(peer_table)
        fix = "Pass --model, --shape or --peer-table."
        require(bool(layers), "layers", "are given, and some can be tuned", "none", fix)
        there = read_table(table) if table.exists() else TunedTable()
        wanted = [each for each in dict.fromkeys(layers) if again or _is_missing(there.get(target, int(lnc), each))]
        if len(wanted) < len(layers):
            click.echo(f"{len(layers) - len(wanted)} of {len(layers)} rows are there already")
        refused = [not _fill(table, Stages(each, target, int(lnc)), n, len(wanted)) for n, each in enumerate(wanted, 1)]
    if any(refused):
        sys.exit(REFUSED)


def _fill(table: Path, stages: Stages, n: int, count: int) -> bool:
    """Whether the layer has its row now; says why not."""
    try:
        row = _tuned(stages, f"{n} of {count}")
    except RequestError as error:
        click.echo(f"{_name(stages.layer)}: not tuned: {error}", err=True)
        return False
    add_to_table(table, [row])
    click.echo(_as_line(row))
    return True


def _is_missing(row: TunedRow | None) -> bool:
    return row is None or row.clock != CLOCK


def _layers_of_peer(path: Path | None) -> list[LayerKey]:
    """Those that can be tuned; says why others cannot."""
    rows = [] if path is None else read_peer_table(path)
    unusable = [row.reason for row in rows if row.layer is None]
    if rows:
        usable = f"{len(rows) - len(unusable)} of {len(rows)} layers can be tuned here"
        click.echo(f"{path}: {usable}; kernel names, times and block sizes of none are taken over. Not used:")
    for reason, count in Counter(unusable).most_common():
        click.echo(f"{count:6} {reason}")
    return [row.layer for row in rows if row.layer is not None]


def _tuned(stages: Stages, which: str) -> TunedRow:
    space = space_of(stages)
    with _progress(which, sum(map(len, space)) + 2) as step:
        return best_row(stages, space, step)


def _as_line(row: TunedRow) -> str:
    """What was found, and its time."""
    stages = (f"{c.width} columns x {c.at_once}, {c.split.value if c.split else ''} shared" for c in row.choices)
    us, low, high = row.whole
    how = f"blocks of {row.choices[0].block_size}; {'; '.join(stages)}"
    return f"{_name(row.layer)}: predicted {us:,.0f} us ({low:,.0f} to {high:,.0f}); {how}"


def _name(layer: LayerKey) -> str:
    return f"token {layer.token}, {layer.model_dim} x {layer.inter_dim}, E {layer.expert}, k {layer.topk}"


@contextmanager
def _progress(which: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar of predictions on standard error."""
    columns = (TextColumn("layer {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(which, total=total)
        yield lambda: bar.advance(task)
