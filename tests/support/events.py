"""Two runs of one kernel, compared by their events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nkisim.memory import Access
from nkisim.observe import Event


def told(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """Everything events say, with storages numbered in the order in which they appear."""
    numbers: dict[int, int] = {}

    def place(access: Access) -> tuple[Any, ...]:
        number = numbers.setdefault(access.storage.identity, len(numbers))
        rows = None if access.rows is None else access.rows.tolist()
        return number, access.dtype, access.start, access.shape, access.strides, rows

    return [
        (
            e.core, e.index, e.opcode, e.traits, e.engine, [place(a) for a in e.reads], [place(a) for a in e.writes],
            e.work, [(key, value) for key, value in e.details.items() if key != "barrier"], e.location, e.name,
            [(place(access), element) for access, element in e.unwritten], e.after, e.ordered,
        )
        for e in events
    ]  # fmt: skip
