# SPDX-License-Identifier: Apache-2.0
"""How a command ends when it cannot do what it was asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from nkimoe.errors import RequestError

WRONG, REFUSED = 1, 2  # exit statuses


@contextmanager
def refusals() -> Iterator[None]:
    """Requests that cannot be honoured end in one clear line and exit status 2."""
    try:
        yield
    except (RequestError, ValueError, OSError, MemoryError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(REFUSED)
