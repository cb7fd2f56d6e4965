"""What routing adds to a layer, predicted: router, tables and experts as one kernel, and each as a kernel of its own.

Tokens, logits and weights are drawn, the result of the one kernel is compared bit for bit with that of the others, and
the layer has no biases. Nothing is measured on a device.

    python benchmarks/routed_layer.py qwen3-30b-a3b --tp 4 --tokens 4096 --block-size 128
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import ml_dtypes
import numpy as np

from nkisim import Simulator, install
from nkisim.report.summary import Profile

install()
sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when imported as a file

import nki  # noqa: E402
import nki.isa as nisa  # noqa: E402
from shapes import PublishedLayer  # noqa: E402

from nkimoe import MoECTEImplementation, MoECTESpec, Pairs, SkipMode, moe_cte  # noqa: E402
from nkimoe.models import MODELS  # noqa: E402
from nkimoe.routing import on_device  # noqa: E402

SPEC, SKIP = MoECTESpec(MoECTEImplementation.shard_on_block), SkipMode(skip_token=True)
SEED = 0


def both_cores_see(*tensors: Any) -> None:
    """What is read after it was written by either core."""
    for tensor in tensors:
        nisa.core_barrier(data=tensor, cores=(0, 1))


@nki.jit
def layer_from_logits(hidden: Any, logits: Any, gate_up: Any, down: Any, rule: Any, block_size: int) -> Any:
    """From logits to the output, without a host."""
    weights, ids = on_device.route(logits, rule)
    both_cores_see(weights, ids)
    slots, positions, affinities, experts, conditions = on_device.pair_blocks(ids, weights, down.shape[0], block_size)
    both_cores_see(slots, positions, affinities, experts, conditions)
    return moe_cte(
        hidden, None, gate_up, down, slots, experts, block_size, SPEC, skip_dma=SKIP, conditions=conditions,
        pairs=Pairs(positions, affinities, rule.top_k),
    )  # fmt: skip


def _show(what: str, profile: Profile) -> float:
    low, high = profile.interval_us
    click.echo(f"{what:<12}{profile.latency_us:8,.0f} us ({low:,.0f} to {high:,.0f})")
    return profile.latency_us


@click.command(help=__doc__)
@click.argument("model", type=click.Choice(sorted(MODELS)))
@click.option("--tp", default=1)
@click.option("--tokens", default=4096)
@click.option("--block-size", default=128)
def main(model: str, tp: int, tokens: int, block_size: int) -> None:
    shape, rule = PublishedLayer(model, tokens, tp, multiple=128).shape(), MODELS[model].routing
    rng, bf16, H, E = np.random.default_rng(SEED), ml_dtypes.bfloat16, shape.H, shape.E

    def drawn(*sizes: int, fan_in: int = 1) -> Any:
        return (rng.standard_normal(sizes, np.float32) / fan_in**0.5).astype(bf16)

    hidden, logits = drawn(tokens, H), drawn(tokens, E)
    gate_up, down = drawn(E, H, 2, shape.I, fan_in=H), drawn(E, shape.I, H, fan_in=shape.I)
    simulator = Simulator("trn2", 2)
    routed = simulator.run(on_device.route, logits, rule)
    weights, ids = routed.outputs
    tables = simulator.run(on_device.pair_blocks, ids, weights, E, block_size)
    slots, positions, affinities, experts, conditions = tables.outputs
    layer = simulator.run(
        moe_cte, hidden, None, gate_up, down, slots, experts, block_size, SPEC, skip_dma=SKIP, conditions=conditions,
        pairs=Pairs(positions, affinities, rule.top_k),
    )  # fmt: skip
    whole = simulator.run(layer_from_logits, hidden, logits, gate_up, down, rule, block_size)
    if np.asarray(whole.outputs).tobytes() != np.asarray(layer.outputs).tobytes():
        raise click.ClickException("the one kernel has another result")
    apart = sum(_show(*each) for each in (("route", routed.profile), ("pair_blocks", tables.profile)))
    alone, together = _show("moe_cte", layer.profile), _show("one kernel", whole.profile)
    click.echo(f"routing adds {apart / alone:.1%} as kernels of its own, {together / alone - 1:.1%} in one kernel")


if __name__ == "__main__":
    main()
