"""Predicted latency of the backward pass, next to nki-library's if there is a checkout of it.

    python benchmarks/compare_backward.py [--nkilib DIR] [--shapes NAME] [--tokens T] [--block-size B]

Both kernels run unmodified on nkisim without numerics, with the same inputs and machine file. Nothing is measured on a
device. nki-library's unrolls many instructions: minutes for a layer of 128 experts.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import ml_dtypes
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when imported as a file

from comparison.layer_inputs import LayerInputs, draw
from comparison.measure import Cell, fastest, predict
from comparison.nkilib import NkiLibrary
from shapes import SHAPES

from nkimoe import SkipMode, moe_cte_backward
from nkisim.machine import UsefulWork, load_machine, machine_peaks

TARGET, CORES = "trn2", 2
FOLDER = "nkilib_src.nkilib.experimental.moe.bwd"


@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1))
@click.option("--nkilib", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--shapes", multiple=True, type=click.Choice(list(SHAPES)), default=["qwen3-30b-a3b-tp4"])
@click.option("--tokens", type=click.IntRange(1), help="Tokens of every shape.  [default: each shape's own]")
@click.option("--block-size", type=click.IntRange(1), help="Slots of a block.  [default: each shape's own]")
def main(nkilib: Path | None, shapes: tuple[str, ...], tokens: int | None, block_size: int | None) -> None:
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    for name in shapes:
        shape = SHAPES[name]
        inputs = draw(replace(shape, T=tokens or shape.T, B=block_size or shape.B), with_values=False)
        show(inputs, "nkimoe", fastest([predict(moe_cte_backward, ours(inputs), TARGET)], TARGET))
        if nkilib is not None:
            kernel, arguments = theirs(inputs, nkilib)
            show(inputs, "nki-library", fastest([predict(kernel, arguments, TARGET)], TARGET))


def show(inputs: LayerInputs, who: str, cell: Cell) -> None:
    """One line."""
    s = inputs.shape
    place = f"{s.name} T={s.T} B={s.B} N={inputs.blocks} ({inputs.real_blocks} with tokens)  {who}"
    if cell.latency_us is None:
        print(f"{place}: {cell.refused}", flush=True)
        return
    least = machine_peaks(load_machine(TARGET), CORES).least_us(UsefulWork(12.0 * inputs.pairs * s.H * s.I, 0))
    findings = f"; findings {cell.findings}" if cell.findings else ""
    bounds = f"({min(cell.scenarios_us.values()):.0f} to {max(cell.scenarios_us.values()):.0f})"
    print(
        f"{place}: {cell.latency_us:.0f} us {bounds}, {least / cell.latency_us:.0%} of the PE's peak, "
        f"bound by {cell.bound_by}, {cell.hbm_mb:.0f} MB of HBM{findings}",
        flush=True,
    )


def ours(inputs: LayerInputs) -> dict[str, Any]:
    """Arguments of `moe_cte_backward`."""
    s, tensors = inputs.shape, dict(inputs.tensors)
    del tensors["is_tensor_update_accumulating"]
    return {
        **tensors,
        "gate_up_activations_T": _any((inputs.blocks, 2, s.I, s.B)),
        "output_hidden_states_grad": _any((s.T, s.H)),
        "activation_function": s.activation,
        "skip_dma": SkipMode(True, False),
        "gate_clamp_upper_limit": s.limit,
        "up_clamp_upper_limit": s.limit,
        "up_clamp_lower_limit": None if s.limit is None else -s.limit,
    }


def theirs(inputs: LayerInputs, checkout: Path) -> tuple[Any, dict[str, Any]]:
    """nki-library's kernel and its arguments."""
    NkiLibrary(checkout)
    types = importlib.import_module(f"{FOLDER}.moe_bwd_parameters")
    module = importlib.import_module(f"{FOLDER}.blockwise_mm_backward")
    s, tensors = inputs.shape, ours(inputs)
    names = ("hidden_states", "expert_affinities_masked", "gate_up_proj_weight", "down_proj_weight",
             "token_position_to_id", "output_hidden_states_grad", "block_size")  # fmt: skip
    limits = types.ClampLimits(s.limit, None if s.limit is None else -s.limit, s.limit, None)
    return module.blockwise_mm_bwd, {
        **{name: tensors[name] for name in names},
        "block_to_expert": tensors["block_to_expert"].reshape(-1, 1),
        "gate_up_proj_act_checkpoint_T": tensors["gate_up_activations_T"],
        "down_proj_act_checkpoint": _any((inputs.blocks, s.B, s.H)),
        "skip_dma": types.SkipMode(True, False),
        "clamp_limits": limits,
        "bias": s.biases,
        "activation_type": types.ActFnType[s.activation.name],
    }


def _any(shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(np.ones((), ml_dtypes.bfloat16), shape)


if __name__ == "__main__":
    main()
