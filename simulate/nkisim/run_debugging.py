# SPDX-License-Identifier: Apache-2.0
"""What `nkisim run` does to find a mistake: taps, a reference to compare with, and running again on every change."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nkisim.command_help import section
from nkisim.named_objects import load_named
from nkisim.reference_check import Call, compare_outputs, expected_of, is_rough
from nkisim.simulator import Run
from nkisim.snapshot_text import describe_snapshot
from nkisim.watching import WATCH

Command = Callable[..., Any]
_DEBUGGING = section("Debugging")


def debugging_options(command: Command) -> Command:
    """--tap, --tap-to, --check, --tolerance and --watch."""
    for option in reversed((
        _DEBUGGING("--tap", "taps", multiple=True, metavar="NAME",
                   help="Print what a tensor of this name= holds whenever it is used; * and ? allowed."),
        _DEBUGGING("--tap-to", type=click.Path(file_okay=False, path_type=Path), help="Write these arrays, too."),
        _DEBUGGING("--check", metavar="MODULE:FUNCTION",
                   help="Compare with this function of the kernel's arguments; exit status 1 if outputs differ. Inputs"
                   " filled with edges show what normal ones hide, as a norm without its eps."),
        _DEBUGGING("--tolerance", type=click.FloatRange(0), default=1e-2, show_default=True,
                   help="Of --check: the relative L2 of each row."),
        _DEBUGGING(WATCH, is_flag=True, help="Run again whenever a Python file in the kernel's folder changes."),
    )):  # fmt: skip
        command = option(command)
    return command


def check_debugging(options: dict[str, Any]) -> None:
    """Refuse options that do not fit each other, before the work starts."""
    if options["no_numerics"] and (options["taps"] or options["check"]):
        raise click.UsageError("--tap and --check need values: leave --no-numerics out")
    if options["tap_to"] and not options["taps"]:
        raise click.UsageError("--tap-to goes with --tap")


def expected_outputs(function: Command, call: Call, options: dict[str, Any]) -> Any:
    """What the function of --check makes of the arguments, before the kernel may write them; None without it."""
    return expected_of(load_named(options["check"]), function, call) if options["check"] else None


def tell_taps(run: Run, options: dict[str, Any]) -> None:
    """Print the snapshots, and write them."""
    for name, taken in run.taps.items():
        for number, snapshot in enumerate(taken):
            click.echo(describe_snapshot(name, number, snapshot))
    if options["taps"] and not run.taps:
        click.echo(f"nothing was written to a tensor named {' or '.join(options['taps'])}: give it a name=")
    if options["tap_to"]:
        run.save_taps(options["tap_to"])
        click.echo(f"wrote {options['tap_to']}")


def tell_check(run: Run, expected: Any, options: dict[str, Any]) -> None:
    """Print how outputs compare; ends in status 1 if any differs."""
    if not options["check"]:
        return
    checks = list(compare_outputs(run.outputs, expected, options["tolerance"]))
    for each in checks:
        click.echo(str(each))
    if not all(each.agrees for each in checks):
        if is_rough(expected):
            click.echo("the reference gives 16 bits: let it compute in float32, as x.astype(np.float32)")
        sys.exit(1)
