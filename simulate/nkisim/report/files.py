# SPDX-License-Identifier: Apache-2.0
"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to, renamed to `path` at the end, or removed on an error.

    Where `path` is a link, what it points to is replaced.
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: str | Path, text: str) -> None:
    """Write a text file as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_writable(path: str | Path) -> None:
    """Find out before the work whether `replacing(path)` can succeed.

    Raises:
        OSError: the folder of `path` is missing or read-only, or `path` is no file.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise OSError(f"{path}: is not a regular file.")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise OSError(f"{path}: its folder does not exist or cannot be written.")
