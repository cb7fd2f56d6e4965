"""Predicted latency of nkimoe's kernels next to nki-library's, unmodified, on the same inputs and machine file.

Each row is one MoE layer of a published model as one rank sees it. Both kernels run on nkisim, with the options and the
block size that suit each best; the time model is the same for both. A ratio is given with the least and the most of it
over both orders of instructions and the corners of the machine file. Nothing is measured on a device. With few tokens
and experts, both outputs are compared with the reference (fp32; with MX weights, one that quantises activations as the
hardware does); "numbers" are those relative errors.

The file named by --json is written whenever a row is done.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when imported as a file

from comparison import dense, mx, newer
from comparison.measure import CORES, announced, fastest, ratio, values
from comparison.nkilib import NkiLibrary
from comparison.page import page_lines
from comparison.tables import show
from comparison.variants import Call, VariantCase
from marked_page import renewed
from shapes import LayerShape

from nkimoe.reference.tolerance import distance
from nkisim.report.files import write_whole
from nkisim.report.origin import made_by

SCHEMA_VERSION = 5
CASES: dict[str, VariantCase] = {case.name: case for case in (*dense.CASES, *newer.CASES, *mx.CASES)}
NAMES = sorted({name for case in CASES.values() for name in case.shapes})


@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1))
@click.option("--nkilib", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Its checkout.")
@click.option("--shapes", multiple=True, type=click.Choice(NAMES), help="Leave the others out.")
@click.option("--variants", multiple=True, type=click.Choice(list(CASES)), help="Leave the others out.")
@click.option("--tokens", type=click.IntRange(1), help="Tokens of every shape.  [default: each shape's own]")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all numbers.")
@click.option("--from", "earlier", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Run nothing: show what --json wrote.")  # fmt: skip
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Renew this page's tables.")
@click.option("--no-numbers", is_flag=True, help="Predict only; do not compare outputs.")
def main(
    nkilib: Path | None, shapes: tuple[str, ...], variants: tuple[str, ...], tokens: int | None,
    json_file: Path | None, earlier: Path | None, page: Path | None, no_numbers: bool,
) -> None:  # fmt: skip
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    if (nkilib is None) == (earlier is None):
        raise click.UsageError("either --nkilib or --from is given")
    if earlier is not None:
        report = json.loads(earlier.read_text(encoding="utf-8"))
        if report["schema_version"] != SCHEMA_VERSION:
            raise click.UsageError(f"{earlier} has schema_version {report['schema_version']}, not {SCHEMA_VERSION}")
    else:
        library = _checkout(nkilib)
        cases = [CASES[name] for name in variants or CASES if _has(library, CASES[name])]
        wanted = [(shape, case) for case in cases for shape in case.shapes.values() if shape.name in (shapes or NAMES)]
        if not wanted:
            raise click.UsageError("nothing is left to compare")
        report = _report(library, wanted, tokens, not no_numbers, json_file)
    show(report, Console(width=None if sys.stdout.isatty() else 180))
    if page is not None:
        write_whole(page, renewed(page.read_text(encoding="utf-8"), page_lines(report)))
    if json_file is not None:
        click.echo(f"wrote {json_file}")


def _checkout(folder: Path | None) -> NkiLibrary:
    assert folder is not None
    try:
        return NkiLibrary(folder)
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from error


def _has(library: NkiLibrary, case: VariantCase) -> bool:
    """Whether it can be compared; if not, people are told."""
    reason = case.lacking(library)
    if reason is not None:
        click.echo(f"{case.name} left out: {reason}", err=True)
    return reason is None


def _report(
    library: NkiLibrary, wanted: list[tuple[LayerShape, VariantCase]], tokens: int | None, with_numbers: bool,
    json_file: Path | None,
) -> dict[str, Any]:  # fmt: skip
    """All rows, each written as it is done."""
    rows: list[dict[str, Any]] = []
    report = {"schema_version": SCHEMA_VERSION, **made_by(), "cores": CORES, "rows": rows}
    for number, (shape, case) in enumerate(wanted, 1):
        click.echo(f"{number} of {len(wanted)}: {shape.name} {case.name}", err=True)
        rows.append(compare(case, shape, tokens, library, with_numbers))
        if json_file is not None:
            write_whole(json_file, json.dumps(report, indent=2) + "\n")
    return report


def compare(
    case: VariantCase, shape: LayerShape, tokens: int | None, library: NkiLibrary, with_numbers: bool
) -> dict[str, Any]:
    """One row: both predictions, the roofline, and both errors."""
    layers = list(case.layers(shape, tokens))
    calls = (call for inputs in case.our_layers(shape, tokens) for call in case.our_calls(inputs))
    ours = fastest([announced("nkimoe", *call, case.target) for call in calls], case.target)
    their_calls = (call for inputs in layers for call in case.their_calls(inputs, library))
    theirs = fastest([announced("nkilib", *call, case.target) for call in their_calls], case.target)
    times_faster = ratio(ours, theirs)
    return {
        "shape": {**asdict(layers[0].shape), "activation": shape.activation.name, "scaling": shape.scaling.name},
        "variant": case.name,
        "implementation": case.implementation,
        "target": case.target,
        "weights": case.weights(shape),
        "layers": [{"B": i.shape.B, "blocks": i.blocks, "real_blocks": i.real_blocks} for i in layers],
        "nkimoe": ours.to_json(),
        "nkilib": theirs.to_json(),
        "ratio": None if times_faster is None else times_faster._asdict(),
        "roofline_us": case.roofline_us(layers[0], CORES),
        "numbers": numbers(case, shape, library) if with_numbers else None,
    }


def numbers(case: VariantCase, shape: LayerShape, library: NkiLibrary) -> dict[str, float | str]:
    """Relative L2 errors on a small layer, the largest of a library's options, or why there is no output."""
    inputs = case.small_layer(shape)
    expected = case.reference(inputs)

    def error(call: Call) -> float | str:
        """Columns behind H are no result: nki-library's newer kernel has room for affinities there."""
        output = values(*call, case.target)
        return output if isinstance(output, str) else distance(output[:, : inputs.shape.H], expected).rel_l2

    theirs = [error(call) for call in case.their_calls(inputs, library)]
    errors = [found for found in theirs if not isinstance(found, str)]
    return {"nkimoe": error(case.our_call(inputs)), "nkilib": max(errors) if errors else theirs[0]}


if __name__ == "__main__":
    main()
