# SPDX-License-Identifier: Apache-2.0
"""Results that are kept between runs: a small JSON file each, there as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nkimoe
import nkisim
from nkisim.report.files import write_whole
from nkisim.timing import CLOCK

RUNS = ("*.py", "*.toml")  # files whose text decides what is predicted
FACE = "cli"  # which only asks


class Store:
    """Results by request. Of another clock, or of other sources, a result is another one.

    Args:
        folder: is made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of_user(cls) -> Store:
        """Where the system keeps what can be computed again."""
        from platformdirs import user_cache_path

        return cls(user_cache_path("nkimoe") / "sweep")

    def get(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is kept, or None; a file that is no result counts as none."""
        try:
            kept: dict[str, Any] = json.loads(self._file(request).read_text(encoding="utf-8"))
            return dict(kept["result"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, request: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Write a result.

        Raises:
            OSError: the folder cannot be written.
        """
        file = self._file(request)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps({"request": request, "clock": CLOCK, "result": result}, indent=1) + "\n")

    def _file(self, request: Mapping[str, Any]) -> Path:
        asked = json.dumps([request, CLOCK, sources()], sort_keys=True)
        name = hashlib.sha256(asked.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"


@cache
def sources() -> str:
    """A digest of the text of kernels, plans and simulator: a changed kernel is predicted again."""
    digest = hashlib.sha256()
    for package in (nkimoe, nkisim):
        root = Path(package.__path__[0])
        files = sorted(file for pattern in RUNS for file in root.rglob(pattern))
        for file in files:
            name = file.relative_to(root)
            if name.parts[0] != FACE:
                digest.update(name.as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
