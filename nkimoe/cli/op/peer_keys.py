# SPDX-License-Identifier: Apache-2.0
"""Options as Composable Kernel's examples write them: -t=3328."""

from __future__ import annotations

import re
from typing import NamedTuple

import click

from nkimoe.cli.op.request import OpRequest

WRITTEN = re.compile(r"-([A-Za-z]\w*)=(.*)")
LAUNCH = ("v", "seed", "json", "jsonfile")  # of every program


class Translation(NamedTuple):
    """Attributes:
    arguments: in our style.
    without_effect: keys that were given and mean nothing here.
    """

    arguments: list[str]
    without_effect: list[str]


def translated(request: type[OpRequest], arguments: list[str]) -> Translation:
    """Arguments of a command, those in the peers' form in ours.

    Raises:
        click.UsageError: a key that the operation does not have, or a value that it cannot have.
    """
    plain, given = [], {}
    for argument in arguments:
        match = WRITTEN.fullmatch(argument)
        if match:
            given[match[1]] = match[2]
        else:
            plain.append(argument)
    flags = {written.key: written.flag for written in request.options().values() if written.key}
    known = (*flags, *LAUNCH, *request.fixed, *request.without_effect)
    for key, value in given.items():
        if key not in known:
            keys = ", ".join(f"-{name}" for name in known)
            raise click.UsageError(f"-{key}={value}: {request.name} has no such key; it has {keys}.")
        if request.fixed.get(key, value) != value:
            raise click.UsageError(f"-{key}={value}: {request.name} has only -{key}={request.fixed[key]}.")
    ours = [f"{flags[key]}={value}" for key, value in given.items() if key in flags]
    return Translation(
        plain + ours + _of_launch(request, given), [key for key in given if key in request.without_effect]
    )


def _of_launch(request: type[OpRequest], given: dict[str, str]) -> list[str]:
    """A seed of -1 is the default: every run draws the same."""
    seed, found = _number("seed", given, -1), []
    if seed >= 0:
        found.append(f"--seed={seed}")
    if not _number("v", given, 1):
        found.append("--no-numerics")
    if _number("json", given, 0):
        found.append(f"--json={given.get('jsonfile', f'{request.name}.json')}")
    return found


def _number(key: str, given: dict[str, str], default: int) -> int:
    try:
        return int(given.get(key, default))
    except ValueError:
        raise click.UsageError(f"-{key}={given[key]}: is not an integer.") from None
