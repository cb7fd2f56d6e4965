"""Predicted latency of nkimoe's kernels next to nki-library's, unmodified, on the same inputs and machine file.

Each row is one MoE layer of a published model as one rank sees it. Both kernels run on nkisim, with the options that
suit each best; the time model is the same for both. Nothing is measured on a device. With few tokens and experts, both
outputs are compared with the fp32 reference; "numbers" are those relative errors.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when imported as a file

from comparison.layer_inputs import LayerInputs, draw, reduced
from comparison.measure import predict, values
from comparison.nkilib import NkiLibrary
from comparison.tables import show
from comparison.variants import CASES, VariantCase
from shapes import SHAPES, LayerShape

from nkimoe.reference import moe_cte_reference
from nkimoe.roofline import HBM_GBPS, PEAK_TFLOPS
from nkimoe.tolerance import distance

SCHEMA_VERSION = 1
TARGET, CORES = "trn2", 2


@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1))
@click.option("--nkilib", required=True, type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--shapes", multiple=True, type=click.Choice(list(SHAPES)), help="Leave the others out.")
@click.option("--variants", multiple=True, type=click.Choice(list(CASES)), help="Leave the others out.")
@click.option("--tokens", type=click.IntRange(1), help="Tokens of every shape.  [default: each shape's own]")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all numbers.")
@click.option("--no-numbers", is_flag=True, help="Predict only; do not compare outputs.")
def main(
    nkilib: Path, shapes: tuple[str, ...], variants: tuple[str, ...], tokens: int | None, json_file: Path | None,
    no_numbers: bool,
) -> None:  # fmt: skip
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        library = NkiLibrary(nkilib)
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from error
    rows = []
    for name in shapes or SHAPES:
        shape = SHAPES[name] if tokens is None else replace(SHAPES[name], T=tokens)
        inputs = draw(shape, with_values=False)
        rows += [compare(CASES[v], inputs, library, not no_numbers) for v in variants or CASES]
    report = {"schema_version": SCHEMA_VERSION, "target": TARGET, "cores": CORES, "rows": rows}
    show(report, Console(width=None if sys.stdout.isatty() else 180))
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        click.echo(f"wrote {json_file}")


def compare(case: VariantCase, inputs: LayerInputs, library: NkiLibrary, with_numbers: bool) -> dict[str, Any]:
    """One row: both predictions, the roofline, and both errors."""
    shape = inputs.shape
    click.echo(f"{shape.name} {case.name}: {inputs.blocks} blocks, {inputs.real_blocks} with tokens", err=True)
    ours = predict(*case.our_call(inputs), TARGET)
    theirs = predict(*case.their_call(inputs, library), TARGET)
    click.echo(f"  {ours.wall_s:.0f} s and {theirs.wall_s:.0f} s", err=True)
    both = ours.latency_us and theirs.latency_us
    return {
        "shape": {**asdict(shape), "activation": shape.activation.name},
        "variant": case.name,
        "blocks": inputs.blocks,
        "real_blocks": inputs.real_blocks,
        "nkimoe": ours.to_json(),
        "nkilib": theirs.to_json(),
        "ratio": theirs.latency_us / ours.latency_us if both else None,
        "roofline_us": roofline_us(inputs),
        "numbers": numbers(case, shape, library) if with_numbers else None,
    }


def roofline_us(inputs: LayerInputs) -> float:
    """The project's one definition, for the (token, expert) pairs this rank has."""
    s = inputs.shape
    flops = 6.0 * inputs.pairs * s.H * s.I
    moved = 2.0 * (inputs.touched * 3 * s.H * s.I + 2 * s.T * s.H)
    compute = flops / (PEAK_TFLOPS[TARGET]["bf16"] * CORES * 1e12)
    return max(compute, moved / (HBM_GBPS[TARGET] * CORES * 1e9)) * 1e6


def numbers(case: VariantCase, shape: LayerShape, library: NkiLibrary) -> dict[str, float | str]:
    """Relative L2 errors against the fp32 reference on a reduced layer, or why there is no output."""
    inputs = draw(reduced(shape), with_values=True)
    kernel, arguments = case.our_call(inputs)
    options = {k: v for k, v in arguments.items() if k not in ("spec", "skip_dma", "conditions")}
    expected = moe_cte_reference(**options, skip_token=True)
    outputs = {
        "nkimoe": values(kernel, arguments, TARGET),
        "nkilib": values(*case.their_call(inputs, library), TARGET),
    }
    return {name: o if isinstance(o, str) else distance(o, expected).rel_l2 for name, o in outputs.items()}


if __name__ == "__main__":
    main()
