# SPDX-License-Identifier: Apache-2.0
"""A scatter that names a row twice: which of the two values stays, or whether both are added, is left to chance."""

from __future__ import annotations

from nkisim.errors import DuplicateRow, Location
from nkisim.memory import Access
from nkisim.observe.event import Event, Finding, Observer


class DuplicateRows(Observer):
    """Looks at the rows of every scatter that are in bounds; reports once a kernel line."""

    def __init__(self) -> None:
        self._seen: set[Location] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        found = []
        for access in event.writes:
            if access.rows is not None and event.location not in self._seen and access.strides[0]:
                rows = access.rows.tolist()
                if len(set(rows)) < len(rows):
                    self._seen.add(event.location)
                    found.append(Finding(_error(event, access, rows)))
        return found


def _error(event: Event, access: Access, rows: list[int]) -> DuplicateRow:
    where: dict[int, list[int]] = {}
    for position, row in enumerate(rows):
        where.setdefault(row, []).append(position)
    row, positions = next((row, p) for row, p in where.items() if len(p) > 1)
    return DuplicateRow(
        "the row indices of one scatter are unique",
        f"{event.opcode} writes row {row} of the {access.storage} for positions {positions} of the rows in bounds",
        "Make the indices unique, or put repeated ones out of bounds and pass oob_mode=oob_mode.skip.",
        event.position.chain,
    )
