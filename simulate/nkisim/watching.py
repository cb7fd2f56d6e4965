# SPDX-License-Identifier: Apache-2.0
"""`--watch`: a command again whenever a Python file beside the kernel changes."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

WATCH = "--watch"


def run_on_change(target: str, arguments: Sequence[str]) -> None:
    """Run `nkisim` with the arguments, without --watch, now and after each change; until interrupted.

    Each run is a process of its own, so that what the kernel imports is read anew. One that is still running when
    something changes is stopped.

    Args:
        target: "module:name" or "file.py:name"; its folder is watched, with all folders in it.

    Raises:
        click.UsageError: watchfiles is not installed, or there is no such module.
    """
    try:
        from watchfiles import PythonFilter, run_process
    except ImportError:
        raise click.UsageError(f"{WATCH} needs watchfiles: pip install 'nkimoe[watch]'") from None
    command = [sys.executable, "-m", "nkisim", *(word for word in arguments if word != WATCH)]
    folder = _folder(target)
    click.echo(f"runs again when a Python file in {folder} changes; Ctrl-C ends it", err=True)
    run_process(
        folder,
        target=shlex.join(command),
        target_type="command",
        watch_filter=PythonFilter(),
        callback=lambda _: click.echo("\nchanged:", err=True),
    )


def _folder(target: str) -> Path:
    place = target.rpartition(":")[0]
    if place.endswith(".py"):
        return Path(place).resolve().parent
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = importlib.util.find_spec(place)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None:
        raise click.UsageError(f"{target}: there is no such module to watch")
    return Path(found.origin).resolve().parent
