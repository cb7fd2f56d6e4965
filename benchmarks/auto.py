"""How far what auto chooses is behind the best of all variants, block sizes and strategies, by predictions of nkisim.

For each layer all choices that can be are ranked by the model of cost (`nkimoe/choosing`), and predicted in that order;
on trn2 also with fp8 weights that have a scale a row. Left out is a choice that is estimated FAR times as slow as the
fastest found; with --layers-json also one that `moe_layers.py`, whose rows are the fastest of some choices, has
predicted to be no faster than its row; with --most N all behind the first N that are neither. The layers are those of
`moe_layers.py`; the model was fitted on others (`fit_cost.py`).

The file named by --json is written whenever a prediction is there, and none in it is made again. Nothing is measured on
a device.
"""

from __future__ import annotations

import json
import sys
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when imported as a file

from choices.judgement import Judged, page_lines
from choices.kept import Kept
from choices.point import FP8_ROW, Point, judged, layer_of
from marked_page import renewed
from shapes import LayerShape

from nkimoe.choosing import Fixed, ranked
from nkimoe.choosing.choice import LayerChoice
from nkimoe.planning.block_size import block_size_for
from nkimoe.planning.plan import Plan
from nkimoe.spec import BlockShardStrategy, MoECTEImplementation
from nkisim.report.files import write_whole
from nkisim.timing import CLOCK

FAR = 1.2
OWN = "own"  # weights of the target
TOKENS = {"trn2": (640, 4096, 8192), "trn3": (640, 4096)}
TRIED = ("shard_on_block", "shard_on_i_hybrid")  # by moe_layers.py, in these block sizes
TRIED_SIZES = (256, 128)
Shown = dict[tuple[str, str, int], tuple[LayerChoice, float]]
"""By target, layer and tokens: the fastest form that `moe_layers.py` tried, and its microseconds."""


@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1))
@click.option("--targets", multiple=True, type=click.Choice(list(TOKENS)), help="Leave the other out.")
@click.option("--weights", multiple=True, type=click.Choice([OWN, FP8_ROW]), help="Leave the others out.")
@click.option("--tokens", multiple=True, type=click.IntRange(1), help="Instead of 640, 4,096 and 8,192.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Keep predictions in it.")
@click.option("--layers-json", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Of moe_layers.py.")
@click.option("--most", type=click.IntRange(1), default=99, help="Predictions of a layer.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Renew this page's table.")
def main(
    targets: tuple[str, ...], weights: tuple[str, ...], tokens: tuple[int, ...], json_file: Path | None,
    layers_json: Path | None, most: int, page: Path | None,
) -> None:  # fmt: skip
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    kept, shown, rows = Kept(json_file), _shown(layers_json), []
    for target, named in product(targets or TOKENS, weights or (OWN, FP8_ROW)):
        if named == FP8_ROW and target != "trn2":
            continue
        for shape, count in judged(target, tokens or TOKENS[target]):
            click.echo(f"{target} {shape.name} {named} {count}", err=True)
            known = shown.get((target, shape.name, count)) if named == OWN else None
            rows.append(judge(ranking(target, shape, count, named == FP8_ROW), kept, known, most))
            click.echo(" ".join(rows[-1].cells()), err=True)
    click.echo("\n".join(lines := page_lines(rows)))
    if page is not None:
        write_whole(page, renewed(page.read_text(encoding="utf-8"), lines))


def ranking(target: str, shape: LayerShape, tokens: int, fp8_rows: bool) -> list[tuple[Point, float]]:
    """The choices of a layer that can be, with their estimates, best first."""

    def plan_of(choice: LayerChoice) -> Plan:
        return Point(target, shape, tokens, choice, fp8_rows).plan()

    found = ranked(layer_of(target, shape, tokens, fp8_rows), Fixed(), plan_of)
    return [(Point(target, shape, tokens, e.choice, fp8_rows), e.estimate.us) for e in found if e.estimate is not None]


def judge(points: list[tuple[Point, float]], kept: Kept, shown: tuple[LayerChoice, float] | None, most: int) -> Judged:
    """Predict what may be the best; what is chosen is always predicted."""
    chosen = points[0][0]
    load = layer_of(chosen.target, chosen.shape, chosen.tokens).load
    suited, found = block_size_for(load.pairs, load.experts), dict([shown] if shown else [])
    for point, estimate in points:
        choice, best = point.choice, min(found.values(), default=float("inf"))
        is_known = choice in found or (shown is not None and point != chosen and _was_tried(choice, suited))
        is_needless = point != chosen and (estimate > FAR * best or most <= 0)
        if is_known or (is_needless and not kept.has(point)):
            continue
        most -= not kept.has(point)
        us = kept.find(point)
        if us is not None:
            found[choice] = us
    best, us = min(found.values()), found[chosen.choice]
    place = chosen.target, chosen.shape.name, chosen.weights, chosen.tokens
    return Judged(*place, chosen.choice, us, best, len(points), len(found))


def _was_tried(choice: LayerChoice, suited: int) -> bool:
    """By `moe_layers.py`: consecutive blocks on a core."""
    is_tried = choice.variant in TRIED and choice.strategy in (None, BlockShardStrategy.HI_LO)
    return is_tried and choice.block_size in (*TRIED_SIZES, suited)


def _shown(path: Path | None) -> Shown:
    """Raises click.UsageError: another clock made the file."""
    if path is None:
        return {}
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if report["clock"] != CLOCK:
        raise click.UsageError(f"{path} is of clock {report['clock']}, not {CLOCK}: run moe_layers.py again")
    found: Shown = {}
    for row in report["rows"]:
        if row["target"] == "trn2":  # on trn3 it has fewer blocks
            strategy = BlockShardStrategy.HI_LO if row["variant"] == TRIED[0] else None
            choice = LayerChoice(MoECTEImplementation[row["variant"]], row["block_size"], strategy)
            found[row["target"], row["layer"], row["tokens"]] = choice, next(iter(row["scenarios_us"].values()))
    return found


if __name__ == "__main__":
    main()
