# SPDX-License-Identifier: Apache-2.0
"""Instructions in pieces, so that those of one half of a part can be issued between those of the other."""

from __future__ import annotations

from collections.abc import Iterator

Emission = Iterator[None]
"""Issues no instruction when it is called; each `next` issues a piece, and `emit` all of them."""

# Pieces, behind all but one of which a piece of the other half is issued. Chosen, no measurement is recorded: with a
# larger number the other half ends earlier and these pieces wait for it; with a smaller one more of it comes last.
PACE = 4


def emit(pieces: Emission, beside: Emission | None = None) -> None:
    """Issue all pieces, and a piece of `beside` behind PACE - 1 of PACE, so that neither engine waits for the other."""
    for n, _ in enumerate(pieces):
        if beside is not None and n % PACE:
            next(beside, None)
