"""Predicted latency of `moe_cte` on published layers and numbers of tokens, and what each loses.

A row has the variant and the block size that suit the layer best. Behind the latency, and behind the fraction of the
roofline, stand the least and the most of it over both orders of instructions and the corners of the machine file. "Lost
to" names the kinds of work without which the layer would be predicted 5 % faster or more: one kind at a time is made a
thousand times faster, so the shares need not add up to one. Nothing is measured on a device.

The file named by --json is written whenever a row is done, and rows it has are not predicted again.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when imported as a file

from comparison import dense, mx
from comparison.variants import VariantCase
from losses.picture import draw
from losses.rows import Row, find
from losses.tables import page_lines, show
from marked_page import renewed
from shapes import LayerShape

from nkisim.report.files import write_whole
from nkisim.report.origin import made_by
from nkisim.report.pictures import check_picture
from nkisim.timing import CLOCK

SCHEMA_VERSION = 1
TOKENS = {"trn2": (640, 4096, 8192), "trn3": (640, 1024, 4096, 8192)}
VARIANTS = {"trn2": ("shard_on_block", "shard_on_i_hybrid"), "trn3": ("shard_on_block_mx",)}
CASES = {
    target: [case for case in (*dense.CASES, *mx.CASES) if case.target == target and case.name in names]
    for target, names in VARIANTS.items()
}
NAMES = sorted({name for cases in CASES.values() for name in cases[0].shapes})


@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1))
@click.option("--layers", multiple=True, type=click.Choice(NAMES), help="Leave the others out.")
@click.option("--targets", multiple=True, type=click.Choice(list(CASES)), help="Leave the other out.")
@click.option("--tokens", multiple=True, type=click.IntRange(1), help="Instead of 640 to 8,192.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write, and go on from, it.")
@click.option("--against", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="An earlier file.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="A bar a row: png, svg or pdf.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Renew this page's tables.")
def main(
    layers: tuple[str, ...], targets: tuple[str, ...], tokens: tuple[int, ...], json_file: Path | None,
    against: Path | None, picture: Path | None, page: Path | None,
) -> None:  # fmt: skip
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    if picture is not None:
        check_picture(picture)
    earlier = {row.key: row for row in _read(against)} if against else {}
    done = {row.key: row for row in _read(json_file)} if json_file and json_file.exists() else {}
    wanted = list(_wanted(layers or NAMES, targets or tuple(CASES), tokens))
    rows: list[Row] = []
    for number, (cases, shape, count) in enumerate(wanted, 1):
        key = (cases[0].target, shape.name, cases[0].weights(shape), count)
        click.echo(f"{number} of {len(wanted)}: {' '.join(map(str, key))}", err=True)
        rows.append(done.get(key) or find(cases, shape, count))
        if json_file is not None:
            report = {"schema_version": SCHEMA_VERSION, **made_by(), "rows": [row.to_json() for row in rows]}
            write_whole(json_file, json.dumps(report, indent=2) + "\n")
    show(rows, earlier, Console(width=None if sys.stdout.isatty() else 200))
    if page is not None:
        write_whole(page, renewed(page.read_text(encoding="utf-8"), page_lines(rows, earlier)))
    if picture is not None:
        draw(rows, picture)


def _wanted(
    layers: tuple[str, ...] | list[str], targets: tuple[str, ...], tokens: tuple[int, ...]
) -> Iterator[tuple[list[VariantCase], LayerShape, int]]:
    for target in targets:
        cases = CASES[target]
        for shape in cases[0].shapes.values():
            if shape.name in layers:
                yield from ((cases, shape, count) for count in tokens or TOKENS[target])


def _read(path: Path) -> list[Row]:
    """The rows of a file.

    Raises:
        click.UsageError: it is of another schema, or another clock made it.
    """
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name, wanted in (("schema_version", SCHEMA_VERSION), ("clock", CLOCK)):
        if report.get(name) != wanted:
            raise click.UsageError(f"{path} has {name} {report.get(name)}, not {wanted}: predict its rows again")
    return [Row(**row) for row in report["rows"]]


if __name__ == "__main__":
    main()
