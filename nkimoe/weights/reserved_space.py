# SPDX-License-Identifier: Apache-2.0
"""Room on the disk for a file that is filled through a memory map.

A map of a file with holes takes its blocks when it is written to; where the disk is full by then, the system ends the
process with a signal that no handler can turn into an error. So the blocks are taken before.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from nkimoe.errors import RequestError

_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_NOT_HERE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_PIECE = 1 << 24  # bytes


def reserve(file: BinaryIO, path: Path, size: int) -> None:
    """Make a file, open for writing, `size` bytes long, every block of it on the disk.

    Raises:
        RequestError: there is not so much room. OSError: another error of the disk.
    """
    try:
        if not _allocated(file, size):
            _write_zeros(file, size)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        free = shutil.disk_usage(path.parent).free
        actual = f"{error.strerror}, {free:,} bytes free"
        fix = "Make room there, or choose another folder; a run of the same packing goes on behind its last layer."
        raise RequestError(str(path.parent), f"has room for the {size:,} bytes of {path.name}", actual, fix) from None


def _allocated(file: BinaryIO, size: int) -> bool:
    """Whether the filesystem could do it at once."""
    if not hasattr(os, "posix_fallocate"):  # as on macOS
        return False
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return False
        raise
    return True


def _write_zeros(file: BinaryIO, size: int) -> None:
    """Behind what is written already."""
    file.seek(0, os.SEEK_END)
    for begin in range(file.tell(), size, _PIECE):
        file.write(bytes(min(_PIECE, size - begin)))
    file.flush()
    os.fsync(file.fileno())  # a full disk is told by now, not later
