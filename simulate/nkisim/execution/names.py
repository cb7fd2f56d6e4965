# SPDX-License-Identifier: Apache-2.0
"""Names of tensors and instructions: one namespace for each core's trace of a kernel."""

from __future__ import annotations

from nkisim.errors import DuplicateName, Location


class Names:
    """The names given so far, and to what."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def give(self, name: str, kind: str, where: Location) -> DuplicateName | None:
        """Give `name` to a `kind` of thing; the problem if something has it already."""
        earlier = self._given.get(name)
        if earlier is None:
            self._given[name] = f"{kind} at {where}"
            return None
        return DuplicateName(
            "tensors and instructions of a kernel share one namespace, in which a name stands for one thing",
            f"{kind} '{name}', the name of the {earlier}",
            "Number the names, or leave them out.",
            where,
        )
