# SPDX-License-Identifier: Apache-2.0
"""What made a file of numbers, so that it can be made again."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import PackageNotFoundError, version

from nkisim.timing import CLOCK


def installed_version() -> str | None:
    """The version of the distribution, which holds nkimoe and nkisim; None of sources that are not installed."""
    try:
        return version("nkimoe")
    except PackageNotFoundError:
        return None


def made_by(seed: int | None = None) -> dict[str, str | int | None]:
    """The versions of the distribution and of the clock, the command, and its seed."""
    return {"nkimoe": installed_version(), "clock": CLOCK, "command": shlex.join(sys.argv), "seed": seed}
