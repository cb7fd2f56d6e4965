# SPDX-License-Identifier: Apache-2.0
"""`nkimoe explain --why`: what was chosen among."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nkimoe.choosing import Alternative
from nkisim.report.pictures import duration
from nkisim.report.tables import aligned

HEAD = ("variant", "strategy", "block size", "estimate", "", "bound by")
NUMBERS = (2, 3, 4)  # columns


def lines_of(alternatives: Sequence[Alternative]) -> Iterator[str]:
    """A line for each that can be, best first; then why others cannot."""
    possible = [(each.choice, each.estimate) for each in alternatives if each.estimate is not None]
    if possible:
        yield "alternatives, by the model of cost: neither simulated nor measured"
        least = possible[0][1].us
        rows = [
            (c.variant, c.strategy.name if c.strategy else "", str(c.block_size), duration(e.us),
             f"{e.us / least - 1:+.0%}", e.bound_by)
            for c, e in possible
        ]  # fmt: skip
        yield from aligned([HEAD, *rows], right=NUMBERS)
    refused: dict[str, list[str]] = {}
    for each in alternatives:
        if each.refusal is not None:
            refused.setdefault(str(each.refusal), []).append(str(each.choice))
    for reason, those in refused.items():
        yield f"impossible: {'; '.join(those)}: {reason}"
