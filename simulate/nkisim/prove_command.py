# SPDX-License-Identifier: Apache-2.0
"""`nkisim prove`: is a kernel written anew for the current NKI the same as the old one?"""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from nkisim.command_help import SectionedCommand, examples
from nkisim.command_inputs import arguments
from nkisim.errors import NkiValidationError
from nkisim.install import install
from nkisim.named_objects import load_named
from nkisim.prove import prove as proved
from nkisim.run_commands import call_options

_GRID = re.compile(r"(.*)\[([\d, ]+)\]")


def _launched(target: str) -> Any:
    """The old kernel, on the grid that brackets behind its name say."""
    found = _GRID.fullmatch(target)
    if found is None:
        return load_named(target)
    return load_named(found[1])[tuple(int(size) for size in found[2].split(","))]


@click.command(cls=SectionedCommand, epilog=examples(
    "nkisim prove old.py:softmax new.py:softmax --input x=128x512:float32",
    "nkisim prove 'old.py:add[4,2]' new.py:add --inputs shapes.py:small",
))  # fmt: skip
@click.argument("old")
@click.argument("new")
@call_options
def prove(old: str, new: str, **options: Any) -> None:
    """Run OLD, a kernel of neuronxcc.nki, and NEW, one of nki, on the same arguments, and compare.

    OLD may have a grid: 'old.py:kernel[4,2]'.
    They are also tried with other values and sizes that the old kernel accepts. Says whether the results are equal to
    rounding, or the first tile that differs with the line of each kernel that wrote it, or the line at which NEW stops,
    and the predicted time of both.

    Exit status 1 when they differ or NEW stops.
    """
    if options["lnc"] or options["no_numerics"]:
        raise click.UsageError("results are compared on one core: drop --lnc and --no-numerics")
    install(legacy=True)
    positional, named = arguments(options["inputs"], options["values"], options["factory"], options["seed"])
    if positional:
        raise click.UsageError("give the arguments by name, as the old kernel calls them")
    try:
        proof = proved(_launched(old), load_named(new), named, options["target"])
    except NkiValidationError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    click.echo(str(proof))
    sys.exit(0 if proof.is_equal else 1)
