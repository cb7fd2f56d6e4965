# SPDX-License-Identifier: Apache-2.0
"""Where a kernel is, in its source and in its execution."""

from __future__ import annotations

from typing import NamedTuple

from nkisim.errors import Chain, Location


class Position(NamedTuple):
    """A place in the execution of a kernel.

    Attributes:
        chain: the line and the calls that lead to it, the same tuple each time.
        calls: of each function of `chain`, how many calls its caller had made before from the same place: the
            number of the iteration, where that is in a loop.
    """

    chain: Chain
    calls: tuple[int, ...] = (0,)

    @property
    def location(self) -> Location:
        """The kernel line."""
        return self.chain[-1]
