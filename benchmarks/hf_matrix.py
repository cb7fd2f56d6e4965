"""`python benchmarks/hf_matrix.py`: every transformers family with an experts interface, eager against nkimoe.

Each is a tiny model with random float32 weights; the kernel computes in bf16 on the simulator. Exits 1 unless each
family that runs at all agrees or is refused with a reason.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: `benchmarks` is not installed
warnings.simplefilter("ignore")

from benchmarks.hf.compare import AGREES, NOT_RUN, REFUSED, compare  # noqa: E402
from benchmarks.hf.families import families  # noqa: E402


@click.command()
@click.argument("names", nargs=-1)
@click.option("--variant", default="shard_on_block", show_default=True)
def main(names: tuple[str, ...], variant: str) -> None:
    """Compare all families, or those NAMED."""
    import torch

    import nkimoe.hf

    torch.set_num_threads(1)  # the models are tiny: threads would wait for one another
    nkimoe.hf.register()
    click.echo(f"{'experts':34} {'status':12} {'error':>9} {'effect':>7} {'argmax':>7} {'calls':>5}  reason")
    wrong, count = 0, dict.fromkeys((AGREES, REFUSED, NOT_RUN), 0)
    for family in families():
        if names and family.name not in names:
            continue
        with nkimoe.hf.options(variant=variant):
            row = compare(family)
        click.echo(
            f"{family.experts:34} {row.status:12} {row.error:9.1e} {row.effect:7.2f} {row.argmax:7.3f} {row.calls:5d}  "
            f"{row.reason}"
        )
        count[row.status] = count.get(row.status, 0) + 1
        wrong += row.status not in count or row.status not in (AGREES, REFUSED, NOT_RUN)
    click.echo(", ".join(f"{status}: {number}" for status, number in count.items()))
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
