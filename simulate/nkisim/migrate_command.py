# SPDX-License-Identifier: Apache-2.0
"""`nkisim migrate`: what a file of NKI 0.1 has to write in the current NKI."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from nkisim.command_help import SectionedCommand, examples
from nkisim.migrate import advise


@click.command(cls=SectionedCommand, epilog=examples(
    "nkisim migrate old_softmax.py", "nkisim migrate old_softmax.py:softmax --json",
))  # fmt: skip
@click.argument("target", metavar="FILE[:KERNEL]")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def migrate(target: str, as_json: bool) -> None:
    """Say line by line what a FILE that imports neuronxcc.nki has to write instead, why, and what needs a decision.

    Nothing is changed. A file that imports the current nki gets no advice.
    """
    place, kernel = (target, "") if target.endswith(".py") else target.rpartition(":")[::2]
    path = Path(place)
    if not path.is_file():
        raise click.UsageError(f"{target}: no such file")
    try:
        advice = advise(path.read_text("utf-8"), place, kernel)
    except (SyntaxError, LookupError) as error:
        raise click.UsageError(f"{target}: {error}") from None
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(each) for each in advice], indent=2))
        return
    for each in advice:
        click.echo(str(each))
    decisions = sum(bool(each.decision) for each in advice)
    click.echo(f"{len(advice)} places to change, {decisions} with a decision")
