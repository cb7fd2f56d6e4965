# SPDX-License-Identifier: Apache-2.0
"""nkimoe pack: a whole checkpoint to the tensors that the kernels take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from nkimoe.cli.refusals import refusals
from nkimoe.planning.targets import TARGETS
from nkimoe.weights import PACKING_NAMES, KeepMxfp4Blocks, Shard, pack_checkpoint, packing_named
from nkimoe.weights.packing import Progress
from nkisim.command_help import OneOf, SectionedCommand, examples, section

KEEP = "mxfp4-blocks"
FOLDER = click.Path(path_type=Path, file_okay=False)
FORMAT, SHARE = section("Format"), section("What to pack")


@click.command(cls=SectionedCommand, epilog=examples(
    "nkimoe pack checkpoint packed --weights fp8-row --target trn2",
    "nkimoe pack gpt-oss-20b rank-0 --weights mxfp4-blocks --tp 4 --rank 0",
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
@SHARE("--rank", type=click.IntRange(0), default=0, show_default=True, help="The rank to pack for.")
@SHARE("--layer", "layers", type=click.IntRange(0), multiple=True, help="Only this one; may be repeated.")
def pack(checkpoint: Path, out: Path, weights: str, target: str, tp: int, rank: int,
         layers: tuple[int, ...]) -> None:  # fmt: skip
    """Pack the experts of CHECKPOINT into the folder OUT, one safetensors file a layer.

    Experts are converted one at a time. OUT appears when it is complete; a run that was stopped goes on where it was.
    """
    if out.exists():
        raise click.UsageError(f"OUT {out}: exists already. Remove it, or choose another folder.")
    packing = KeepMxfp4Blocks() if weights == KEEP else packing_named(weights, target)
    with refusals(), _progress() as progress:
        files = pack_checkpoint(checkpoint, out, packing, Shard(tp, rank), list(layers) or None, progress)
    size = sum(file.stat().st_size for file in files)
    layers_written = f"{len(files)} layer" + "s" * (len(files) != 1)
    click.echo(f"wrote {out}: {layers_written}, {decimal(size)}")


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar of experts on standard error."""
    columns = (TextColumn("experts"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("experts", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
