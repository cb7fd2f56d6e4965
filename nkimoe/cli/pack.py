# SPDX-License-Identifier: Apache-2.0
"""nkimoe pack: a whole checkpoint to the tensors that the kernels take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from nkimoe.cli.keeping import ENGINE, SCHEDULER, WORK, engine_of
from nkimoe.cli.refusals import refusals
from nkimoe.planning.targets import TARGETS
from nkimoe.weights import PACKING_NAMES, KeepMxfp4Blocks, Shard, pack_checkpoint, packing_named
from nkimoe.weights.layer_packing import Spread
from nkimoe.weights.packing import Progress
from nkisim.command_help import OneOf, SectionedCommand, examples, section

KEEP, ALL = "mxfp4-blocks", "all"
FOLDER = click.Path(path_type=Path, file_okay=False)
FORMAT, SHARE = section("Format"), section("What to pack")


class RankNumber(click.ParamType):
    """A number from 0 on, or None for the word `all`."""

    name = "rank"

    def convert(self, value: str | int | None, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == ALL or value is None:
            return None
        if isinstance(value, int):
            return value
        if not value.isdecimal():
            self.fail(f"{value!r} is no rank from 0 on, and not {ALL}", param, ctx)
        return int(value)


@click.command(cls=SectionedCommand, epilog=examples(
    "nkimoe pack checkpoint packed --weights fp8-row --target trn2",
    "nkimoe pack gpt-oss-20b rank-0 --weights mxfp4-blocks --tp 4 --rank 0",
    "nkimoe pack checkpoint ranks --weights fp8-row --tp 4 --rank all --engine dask --scheduler tcp://host:8786",
))  # fmt: skip
@click.argument("checkpoint", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.argument("out", type=FOLDER)
@FORMAT(
    "--weights",
    type=OneOf([*PACKING_NAMES, KEEP]),
    required=True,
    help=f"Format; {KEEP} keeps the values of gpt-oss as published.",
)
@FORMAT("--target", type=OneOf(list(TARGETS)), default="trn3", show_default=True, help="Decides FP8 types.")
@SHARE("--tp", type=click.IntRange(1), default=1, show_default=True, help="Ranks that share I.")
@SHARE(
    "--rank",
    type=RankNumber(),
    default="0",
    show_default=True,
    help=f"The rank to pack for; {ALL}: each, into a folder rank-N of OUT.",
)
@SHARE("--layer", "layers", type=click.IntRange(0), multiple=True, help="Only this one; may be repeated.")
@WORK("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes, of which each packs a layer.")
@ENGINE
@SCHEDULER
def pack(checkpoint: Path, out: Path, weights: str, target: str, tp: int, rank: int | None, layers: tuple[int, ...],
         **work: Any) -> None:  # fmt: skip
    """Pack the experts of CHECKPOINT into the folder OUT, one safetensors file a layer.

    Experts are converted one at a time. A folder appears when it is complete; a run that was stopped goes on where it
    was. Workers of a cluster read CHECKPOINT and write OUT under the same paths.
    """
    packing = KeepMxfp4Blocks() if weights == KEEP else packing_named(weights, target)
    spread, chosen, files = _spread(work), list(layers) or None, list[Path]()
    with refusals():
        shares = {out: Shard(tp, rank)} if rank is not None else {out / f"rank-{n}": Shard(tp, n) for n in range(tp)}
        waiting = {folder: share for folder, share in shares.items() if not folder.exists()}  # finished ranks stay
        if not waiting:
            raise click.UsageError(f"OUT {out}: exists already. Remove it, or choose another folder.")
        for folder, share in waiting.items():
            with _progress() as progress:
                files += pack_checkpoint(checkpoint, folder, packing, share, chosen, progress, spread)
    size = sum(file.stat().st_size for file in files)
    layers_written = f"{len(files)} layer" + "s" * (len(files) != 1)
    click.echo(f"wrote {out}: {layers_written}, {decimal(size)}")


def _spread(work: dict[str, Any]) -> Spread | None:
    """Where layers are packed; None: one after another in this process."""
    engine = engine_of(work, work["jobs"])
    if work["scheduler"] is None and work["jobs"] == 1:
        return None
    from nkimoe.sweep.engine import results

    return partial(results, engine)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar of experts on standard error."""
    columns = (TextColumn("experts"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("experts", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
