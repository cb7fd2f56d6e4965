# SPDX-License-Identifier: Apache-2.0
"""Where many predictions run, and where they are kept: options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nkimoe.sweep.store import Store
from nkisim.command_help import OneOf, section

if TYPE_CHECKING:  # joblib takes a moment to import
    from nkimoe.sweep.engine import Engine

WORK = section("Where it runs, and what is kept")
ENGINE = WORK("--engine", type=OneOf(["processes", "dask"]), default="processes", show_default=True)
SCHEDULER = WORK("--scheduler", help="Of the Dask cluster: tcp://HOST:PORT.")
JOBS = WORK("--jobs", type=click.IntRange(1), help="Processes; by default one a processor.")
CACHE = (
    WORK("--cache", type=click.Path(path_type=Path, file_okay=False), help="Where predictions are kept."),
    WORK("--no-cache", is_flag=True, help="Keep nothing, and use nothing kept."),
)


def engine_of(options: dict[str, Any], jobs: int) -> Engine:
    """Of --engine and --scheduler: processes, as many as `jobs`, or the workers of a cluster.

    Raises:
        click.UsageError: one of the two without the other.
    """
    from nkimoe.sweep.engine import DaskCluster, Processes

    if (options["engine"] == "dask") != (options["scheduler"] is not None):
        raise click.UsageError("--engine dask and --scheduler tcp://HOST:PORT go together.")
    return DaskCluster(options["scheduler"]) if options["scheduler"] else Processes(jobs)


def store_of(options: dict[str, Any]) -> Store | None:
    """Of --cache, by default the user's; None with --no-cache.

    Raises:
        click.UsageError: both are given.
    """
    if options["no_cache"]:
        if options["cache"] is not None:
            raise click.UsageError("--cache and --no-cache contradict each other.")
        return None
    return Store(options["cache"]) if options["cache"] is not None else Store.of_user()
