"""Fit the coefficients of the model of cost (`nkimoe/choosing`) on predictions of nkisim.

The points are those of `choices/grid.py`. Errors are logarithms of estimate over prediction, weighted by how near the
point is to the fastest of its layer. Bounds keep engines from being faster than counted. Needs SciPy.

Predictions are kept in the file named by --json. Nothing is measured on a device.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when imported as a file

from choices.grid import points
from choices.kept import Kept
from choices.point import Point, layer_of

from nkimoe.choosing.cost import FILE, Coefficients, of_cores
from nkimoe.choosing.counter import Counter
from nkimoe.choosing.work import CoreWork
from nkimoe.errors import RequestError
from nkimoe.planning.variants import BLOCKS, INTERMEDIATE
from nkisim.machine import load_machine
from nkisim.report.files import write_whole
from nkisim.timing import CLOCK

SCHEMA_VERSION = 1
BOUNDS = {  # least, first guess, most
    "sharpness": (2.0, 4.0, 12.0), "tensor": (0.95, 1.0, 1.8), "vector": (0.0, 1.0, 3.0), "scalar": (0.0, 1.0, 3.0),
    "gpsimd": (0.8, 1.0, 2.5), "dma": (0.85, 1.0, 2.0), "hbm": (0.9, 1.0, 1.6), "issue": (0.0, 0.5, 3.0),
    "exchanged": (0.0, 1.0, 4.0), "edges": (0.2, 1.0, 3.0), "alone": (0.0, 0.05, 1.0), "part": (0.0, 500.0, 8e3),
    "turn": (0.0, 8e3, 6e4), "start": (0.0, 1e4, 6e4), "first": (0.0, 0.8, 3.0),
}  # fmt: skip
OUTLIER = 0.05  # errors beyond it count less than their squares
NOTHING = 1e-3
DEFAULT = Path(__file__).resolve().parents[1] / "nkimoe" / "choosing" / FILE

Sample = tuple[list[CoreWork], float, float]
"""The work of the cores, predicted microseconds, a weight."""


@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1))
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Keep predictions in it.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=DEFAULT, help="Coefficients.")
def main(json_file: Path | None, out: Path) -> None:
    samples = _samples([point for point in points() if _is_legal(point)], Kept(json_file))
    coefficients = {}
    for split in (BLOCKS, INTERMEDIATE):
        best = _fit(samples[split])
        coefficients[split] = asdict(best)
        errors = _errors(list(asdict(best).values()), samples[split])
        click.echo(f"{split}: {len(errors)} points, errors {np.std(errors):.1%} (standard deviation)")
    document = {"schema_version": SCHEMA_VERSION, "clock": CLOCK, "made_by": "benchmarks/fit_cost.py"}
    write_whole(out, json.dumps({**document, "coefficients": coefficients}, indent=1) + "\n")


def _is_legal(point: Point) -> bool:
    try:
        point.plan()
    except RequestError:
        return False
    return True


def _samples(grid: Sequence[Point], kept: Kept) -> dict[str, list[Sample]]:
    """By what the cores split."""
    predicted = [(point, us) for point in grid if (us := kept.find(point)) is not None]
    fastest: dict[tuple[str, int, bool], float] = {}
    for point, us in predicted:
        layer = point.shape.name, point.tokens, point.fp8_rows
        fastest[layer] = min(us, fastest.get(layer, us))
    found: dict[str, list[Sample]] = {BLOCKS: [], INTERMEDIATE: []}
    for point, us in predicted:
        plan, layer = point.plan(), layer_of(point.target, point.shape, point.tokens, point.fp8_rows)
        blocks = layer.load.blocks(plan.problem.B, plan.problem.N)
        cores = list(Counter(plan, blocks, layer, load_machine(point.target)).cores())
        found[plan.variant.split].append((cores, us, fastest[point.shape.name, point.tokens, point.fp8_rows] / us))
    return found


def _errors(values: Sequence[float], samples: Sequence[Sample]) -> list[float]:
    coefficients = Coefficients(*values)
    return [weight * float(np.log(of_cores(cores, coefficients).us / us)) for cores, us, weight in samples]


def _fit(samples: Sequence[Sample]) -> Coefficients:
    from scipy.optimize import least_squares

    least, first, most = zip(*(BOUNDS[each.name] for each in fields(Coefficients)), strict=True)
    scale = np.maximum(first, 0.1)
    best = least_squares(
        _errors, first, bounds=(least, most), x_scale=scale, loss="soft_l1", f_scale=OUTLIER, args=(samples,)
    )
    return Coefficients(*(float(f"{value:.4g}") if value > NOTHING else 0.0 for value in best.x))


if __name__ == "__main__":
    main()
