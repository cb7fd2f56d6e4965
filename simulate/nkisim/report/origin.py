"""What made a file of numbers, so that it can be made again."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import PackageNotFoundError, version

from nkisim.timing import CLOCK


def made_by(seed: int | None = None) -> dict[str, str | int | None]:
    """The distribution's version (None of sources that are not installed), the clock's, the command, and its seed."""
    try:
        installed = version("nkimoe")
    except PackageNotFoundError:
        installed = None
    return {"nkimoe": installed, "clock": CLOCK, "command": shlex.join(sys.argv), "seed": seed}
