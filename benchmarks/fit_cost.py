"""Fit the coefficients of the model of cost (`nkimoe/choosing`) on predictions of nkisim.

The points are those of `choices/grid.py`. Errors are logarithms of estimate over prediction, weighted by how near the
point is to the fastest of its layer; what all points of a layer are off by counts once, since no choice depends on it.
Bounds keep engines from being faster than counted. Needs SciPy.

Predictions are kept in the file named by --json. Nothing is measured on a device.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when imported as a file

from choices.grid import points
from choices.kept import Kept
from choices.point import Point, layer_of

from nkimoe.arrays import Array
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
    "sharpness": (2.0, 4.0, 12.0), "drained": (1.0, 3.0, 12.0), "tensor": (0.95, 1.0, 1.8), "vector": (0.0, 1.0, 3.0),
    "scalar": (0.0, 1.0, 3.0), "gpsimd": (0.8, 1.0, 2.5), "dma": (0.85, 1.0, 2.0), "hbm": (0.9, 1.0, 1.6),
    "issue": (0.0, 0.5, 3.0), "exchanged": (0.0, 1.0, 4.0), "chain": (0.5, 1.0, 2.0), "edges": (0.2, 1.0, 3.0),
    "alone": (0.0, 0.05, 1.0), "part": (0.0, 500.0, 8e3), "turn": (0.0, 8e3, 6e4), "start": (0.0, 1e4, 6e4),
    "first": (0.0, 0.8, 3.0),
}  # fmt: skip
OUTLIER = 0.04  # errors beyond it count less than their squares
STEPS = 60  # no better behind them
NOTHING = 1e-3
SPLITS = (BLOCKS, INTERMEDIATE)
DEFAULT = Path(__file__).resolve().parents[1] / "nkimoe" / "choosing" / FILE


@dataclass(frozen=True)
class Sample:
    """A point: what of its layer can be compared.

    Attributes:
        split: what cores split.
        cores: their work.
        us: predicted.
        layer: number of the layer, with its tokens and weights.
        weight: the square of the fastest time of the layer over this one's.
    """

    split: str
    cores: list[CoreWork]
    us: float
    layer: int
    weight: float


@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1))
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Keep predictions in it.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=DEFAULT, help="Coefficients.")
def main(json_file: Path | None, out: Path) -> None:
    samples = _samples([point for point in points() if _is_legal(point)], Kept(json_file))
    best = _fit(samples)
    for split in SPLITS:
        errors = [_error(each, best) for each in samples if each.split == split]
        click.echo(f"{split}: {len(errors)} points, errors {np.std(errors):.1%} (standard deviation)")
    behind = _behind(samples, best)
    click.echo(
        f"of {len(behind)} layers the worst choice is {max(behind):.1%} behind the best, the mean {np.mean(behind):.1%}"
    )
    document = {"schema_version": SCHEMA_VERSION, "clock": CLOCK, "made_by": "benchmarks/fit_cost.py"}
    coefficients = {split: asdict(each) for split, each in best.items()}
    write_whole(out, json.dumps({**document, "coefficients": coefficients}, indent=1) + "\n")


def _is_legal(point: Point) -> bool:
    try:
        point.plan()
    except RequestError:
        return False
    return True


def _samples(grid: Sequence[Point], kept: Kept) -> list[Sample]:
    predicted = [(point, us) for point in grid if (us := kept.find(point)) is not None]
    fastest: dict[tuple[str, int, bool], float] = {}
    for point, us in predicted:
        fastest[_layer(point)] = min(us, fastest.get(_layer(point), us))
    numbers = {layer: number for number, layer in enumerate(fastest)}
    found = []
    for point, us in predicted:
        plan, layer = point.plan(), layer_of(point.target, point.shape, point.tokens, point.fp8_rows)
        blocks = layer.load.blocks(plan.problem.B, plan.problem.N)
        cores = list(Counter(plan, blocks, layer, load_machine(point.target)).cores())
        weight = (fastest[_layer(point)] / us) ** 2
        found.append(Sample(plan.variant.split, cores, us, numbers[_layer(point)], weight))
    return found


def _layer(point: Point) -> tuple[str, int, bool]:
    return point.shape.name, point.tokens, point.fp8_rows


def _error(sample: Sample, coefficients: Mapping[str, Coefficients]) -> float:
    """The logarithm of estimate over prediction."""
    return float(np.log(of_cores(sample.cores, coefficients[sample.split]).us / sample.us))


def _fit(samples: Sequence[Sample]) -> dict[str, Coefficients]:
    """Both splits together: what is chosen depends on differences within a layer."""
    from scipy.optimize import least_squares

    names = [each.name for each in fields(Coefficients)]
    least, first, most = (
        np.tile(bounds, len(SPLITS)) for bounds in zip(*(BOUNDS[name] for name in names), strict=True)
    )
    layers, weights = np.array([each.layer for each in samples]), np.array([each.weight for each in samples])

    def coefficients(values: Array) -> dict[str, Coefficients]:
        return {
            split: Coefficients(*map(float, own))
            for split, own in zip(SPLITS, values.reshape(len(SPLITS), -1), strict=True)
        }

    def errors(values: Array) -> Array:
        own = coefficients(values)
        found = np.array([_error(each, own) for each in samples])
        of_layer = np.bincount(layers, weights * found) / np.bincount(layers, weights)
        return np.concatenate([weights * (found - of_layer[layers]), of_layer])

    best = least_squares(
        errors, first, bounds=(least, most), x_scale=np.maximum(first, 0.1), loss="soft_l1", f_scale=OUTLIER,
        max_nfev=STEPS,
    )  # fmt: skip
    return coefficients(np.array([float(f"{value:.4g}") if value > NOTHING else 0.0 for value in best.x]))


def _behind(samples: Sequence[Sample], coefficients: Mapping[str, Coefficients]) -> list[float]:
    """Of each layer, how far what has the least estimate is behind the fastest."""
    by_layer: dict[int, list[Sample]] = {}
    for each in samples:
        by_layer.setdefault(each.layer, []).append(each)
    chosen = [min(own, key=lambda each: _error(each, coefficients) + np.log(each.us)) for own in by_layer.values()]
    fastest = [min(each.us for each in own) for own in by_layer.values()]
    return [each.us / us - 1 for each, us in zip(chosen, fastest, strict=True)]


if __name__ == "__main__":
    main()
