"""`python benchmarks/hf_matrix.py`: every transformers family with an experts interface, eager against nkimoe.

Each is a tiny model with random float32 weights; the kernel computes in bf16 on the simulator. With `--graphs` the
model is also compiled as one graph, and exported, before it was ever called. Exits 1 unless each family that runs at
all, and each graph of a model that has one, agrees or is refused with a reason. `--page` writes them into a page.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: `benchmarks` is not installed
warnings.simplefilter("ignore")

from benchmarks.hf.compare import AGREES, NOT_RUN, REFUSED, Comparison, compare  # noqa: E402
from benchmarks.hf.families import Family, families  # noqa: E402
from benchmarks.hf.graphs import COMPILE, EXPORT, NO_GRAPH  # noqa: E402
from benchmarks.hf.page import page_lines  # noqa: E402
from benchmarks.marked_page import renewed  # noqa: E402
from nkisim.command_help import meant  # noqa: E402


@click.command()
@click.argument("names", nargs=-1)
@click.option("--variant", default="shard_on_block", show_default=True)
@click.option("--graphs", is_flag=True, help="Also compile and export each model.")
@click.option("--page", type=Path, help="Write the table between the marks of this page. Implies --graphs.")
def main(names: tuple[str, ...], variant: str, graphs: bool, page: Path | None) -> None:
    """Compare all families, or those whose folder (qwen3_moe) or class of experts (Qwen3MoeExperts) is in NAMES."""
    import torch

    import nkimoe.hf

    chosen, graphs, rows = chosen_families(names), graphs or page is not None, []
    torch.set_num_threads(1)  # the models are tiny: threads would wait for one another
    nkimoe.hf.register()
    click.echo(
        f"{'experts':34} {'status':12} {'error':>9} {'effect':>7} {'argmax':>7} {'calls':>5}  "
        f"{f'{COMPILE:9} {EXPORT:9} ' if graphs else ''}reason"
    )
    wrong, count = 0, dict.fromkeys((AGREES, REFUSED, NOT_RUN), 0)
    for family in chosen:
        with nkimoe.hf.options(variant=variant):
            row = compare(family, graphs)
        click.echo(as_line(row))
        rows.append(row)
        wrong += row.status not in (AGREES, REFUSED, NOT_RUN)
        wrong += any(status not in (AGREES, REFUSED, NO_GRAPH) for status, _ in row.graphs.values())
        count[row.status] = count.get(row.status, 0) + 1
    click.echo(", ".join(f"{status}: {number}" for status, number in count.items()))
    if page is not None:
        page.write_text(renewed(page.read_text("utf-8"), page_lines(rows)), "utf-8")
    sys.exit(wrong > 0)


def chosen_families(names: tuple[str, ...]) -> list[Family]:
    """The families of these names; all of them for none.

    Raises:
        click.UsageError: there is none of a name in the installed transformers.
    """
    found = families()
    known = {name for family in found for name in (family.name, family.experts)}
    for name in names:
        if name not in known:
            hint = meant(name, known) or f" There are {', '.join(f.name for f in found)}."
            raise click.UsageError(f"{name}: no family of the installed transformers has experts of this name.{hint}")
    return [family for family in found if not names or {family.name, family.experts} & {*names}]


def as_line(row: Comparison) -> str:
    """A row of the table; reasons of graphs behind the family's own."""
    graphs = "".join(f"{status:9} " for status, _ in row.graphs.values())
    reasons = [row.reason, *(f"{how}: {why}" for how, (_, why) in row.graphs.items() if why)]
    return (
        f"{row.family.experts:34} {row.status:12} {row.error:9.1e} {row.effect:7.2f} {row.argmax:7.3f} {row.calls:5d}  "
        f"{graphs}{'; '.join(filter(None, reasons))}"
    )


if __name__ == "__main__":
    main()
