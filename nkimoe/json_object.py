# SPDX-License-Identifier: Apache-2.0
"""JSON objects that others wrote: what is damaged is refused by the name of the file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nkimoe.errors import InputError

DOWNLOAD = "Download it again."


def read_object(path: Path) -> dict[str, Any]:
    """The object of a file such as a config.json.

    Raises:
        InputError: it is no file, no UTF-8 or JSON, no object, or names a key twice. OSError: it cannot be read.
    """
    check_file(path)
    return parse_object(path.read_bytes(), str(path))


def check_file(path: Path) -> None:
    """Raises InputError unless a path, links followed, is a file."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "a link to nothing" if path.is_symlink() else "nothing of that name"
        raise InputError(str(path), "is a file", found, DOWNLOAD)


def parse_object(text: bytes, name: str, fix: str = DOWNLOAD) -> dict[str, Any]:
    """The object of a text, which errors call `name`, and end with what to do.

    Raises:
        InputError: as `read_object`.
    """
    try:
        parsed = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as problem:  # deep nesting is no ValueError
        raise InputError(name, "is a JSON object", problem, fix) from None
    if not isinstance(parsed, dict):
        raise InputError(name, "is a JSON object", type(parsed).__name__, fix)
    return parsed


def _without_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """`json` would keep the last of two."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"two entries called {key!r}")
        made[key] = value
    return made
