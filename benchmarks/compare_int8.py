"""Predicted latency of the experts of a layer in int8 (W8A8), next to bf16: the same operation, the same routing.

    python benchmarks/compare_int8.py [--layers NAME] [--tokens T] [--page docs/int8.md]

Both are `nkimoe.ops.fused_experts` on two cores of trn2, without numerics. Nothing is measured on a device. int8
weights are taken to be normal: their columns allow exact sums over all rows (`exact_rows`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import ml_dtypes
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when imported as a file

from comparison.measure import Cell, fastest, predict, ratio
from marked_page import grid, renewed
from shapes import LayerShape, PublishedLayer

from nkimoe.arrays import Array
from nkimoe.ops.pair_experts import pair_experts
from nkimoe.planning.block_size import block_size_for
from nkimoe.planning.expert_options import ExpertOptions
from nkimoe.reference.roofline import layer_work, roofline
from nkimoe.routing.pair_blocks import PairBlocks, pair_blocks
from nkimoe.spec import INT8_PER_TOKEN
from nkisim.report.files import write_whole

TARGET, CORES, SEED = "trn2", 2, 20240701
LAYERS = {
    layer.name: layer.shape()
    for layer in (PublishedLayer("qwen3-30b-a3b", T=4096, tp=4), PublishedLayer("mixtral-8x7b", T=4096, tp=8))
}
EXACT = 1 << 30  # rows whose products fp32 adds exactly: all


@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1))
@click.option("--layers", multiple=True, type=click.Choice(list(LAYERS)), default=list(LAYERS))
@click.option("--tokens", multiple=True, type=click.IntRange(1), default=[64, 640, 4096])
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Renew its table.")
def main(layers: tuple[str, ...], tokens: tuple[int, ...], page: Path | None) -> None:
    headings = ["layer", "tokens", "bf16 us", "int8 us", "times faster", "int8 roofline us", "of roofline"]
    rows = []
    for name in layers:
        for T in tokens:
            rows.append(compare(LAYERS[name], T))
            click.echo("  ".join(rows[-1]))
    if page is not None:
        write_whole(page, renewed(page.read_text("utf-8"), ["", *grid(headings, rows), ""]))


def compare(shape: LayerShape, T: int) -> list[str]:
    """A row of the table."""
    ids = np.argsort(np.random.default_rng(SEED).random((T, shape.E)), axis=1)[:, : shape.K].astype(np.int32)
    touched = np.unique(ids).size
    blocks = pair_blocks(ids, np.ones(ids.shape, np.float32), shape.E, block_size_for(ids.size, touched))
    bf16, int8 = predicted(shape, T, blocks, None), predicted(shape, T, blocks, INT8_PER_TOKEN)
    work = layer_work(T, ids.size, shape.H, shape.I, touched, "int8")
    least = roofline(work, TARGET, CORES, "int8").latency_us
    cells = [shape.name, f"{T:,}", latency(bf16), latency(int8), str(ratio(int8, bf16)), f"{least:,.0f}"]
    assert int8.latency_us is not None, int8.refused
    return [*cells, f"{least / int8.latency_us:.0%}"]


def latency(cell: Cell) -> str:
    """Nominal (least to most), and what bounds it."""
    found = cell.scenarios_us.values()
    return f"{cell.latency_us:,.0f} ({min(found):,.0f} to {max(found):,.0f}), {cell.bound_by}"


def predicted(shape: LayerShape, T: int, blocks: PairBlocks, activations: str | None) -> Cell:
    """The kernel behind `fused_experts`."""
    E, H, I, K = shape.E, shape.H, shape.I, shape.K
    is_int8 = activations is not None
    dtype = np.int8 if is_int8 else ml_dtypes.bfloat16
    options = ExpertOptions(
        blocks.tokens.size // blocks.block_to_expert.size, "bfloat16", K, has_gaps=blocks.has_gaps,
        activation_quantization=activations, exact_rows=EXACT if is_int8 else None,
    )  # fmt: skip
    arguments = {
        "hidden_states": _any((T, H), ml_dtypes.bfloat16),
        "gate_up_proj_weight": _any((E, H, 2, I), dtype),
        "down_proj_weight": _any((E, I, H), dtype),
        "gate_up_proj_scale": np.ones((E, 1, 2 * I), np.float32) if is_int8 else None,
        "down_proj_scale": np.ones((E, 1, H), np.float32) if is_int8 else None,
        "smooth_hidden": None, "smooth_intermediate": None,
        "tokens": blocks.tokens, "positions": blocks.positions, "weights": blocks.weights,
        "block_to_expert": blocks.block_to_expert, "options": options,
    }  # fmt: skip
    return fastest([predict(pair_experts, arguments, TARGET)], TARGET)


def _any(shape: tuple[int, ...], dtype: Any) -> Array:
    """A tensor whose values do not matter."""
    return np.zeros(shape, dtype)


if __name__ == "__main__":
    main()
