# SPDX-License-Identifier: Apache-2.0
"""What a trace that sees the body of a loop once would fix of each instruction, and how two iterations differ in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nkisim.errors import Location
from nkisim.memory import Storage
from nkisim.observe import Event

_OF_AN_OPERAND = ("tensor", "tensor allocated at", "dtype", "view", "runtime index")


@dataclass(frozen=True)
class Traced:
    """One instruction of a loop body.

    Attributes:
        operands: what `operation` says of each: of a tensor, which it is (if older than the loop) and its view.
        fresh: identities of the tensors touched that are younger than the loop. They differ between iterations, but
            must correspond one to one.
    """

    opcode: str
    location: Location
    operands: tuple[object, ...]
    details: Mapping[str, object]
    fresh: tuple[int, ...] = field(compare=False)

    @classmethod
    def of(cls, event: Event, operands: tuple[object, ...], age: Callable[[Storage], int], since: int) -> Traced:
        """The instruction of `event`, in a loop older than storages of an `age` of `since` and above."""
        identities = (age(access.storage) for access in (*event.reads, *event.writes))
        return cls(event.opcode, event.location, operands, event.details, tuple(i for i in identities if i >= since))

    def __str__(self) -> str:
        return f"{self.opcode} at {self.location}"


@dataclass
class Iteration:
    """One iteration of a device loop.

    Attributes:
        since: storages with a smaller identity are older than the loop.
        repeats: it is not the first one, so a trace does not see it.
        issued: its instructions so far.
    """

    since: int
    repeats: bool = False
    issued: list[object] = field(default_factory=list)


def difference(first: Sequence[object], other: Sequence[object]) -> str | None:
    """How an iteration departs from the first one, or None."""
    if first != other:
        pairs = zip(first, other, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(other)))
        expected = first[at] if at < len(first) else "the end of the body"
        actual = other[at] if at < len(other) else "the end of the body"
        return f"instruction {at} is {actual}{_change(expected, actual)} where the first iteration had {expected}"
    found = _exchanged(first, other)
    return found and f"instruction {found[0]}, {found[1]}, works on another of the body's own tensors than at first"


def _change(a: object, b: object) -> str:
    """What differs between two instructions of one name and line."""
    if not (isinstance(a, Traced) and isinstance(b, Traced)) or str(a) != str(b):
        return ""
    if len(a.operands) != len(b.operands):
        return f" with {len(b.operands)} operands"
    for number, (old, new) in enumerate(zip(a.operands, b.operands, strict=True)):
        if not (isinstance(old, tuple) and isinstance(new, tuple)):
            if old != new:
                return f" with {new}, not {old},"
            continue
        parts = zip(_OF_AN_OPERAND, old, new, strict=True)
        changed = [(name, x, y) for name, x, y in parts if x != y]
        if changed:
            name, x, y = changed[-1]
            what = f"another {name} of the same line," if name == "tensor" else f"{name} {y}, not {x},"
            return f" with operand {number} of {what}"
    keys = sorted(key for key in {*a.details, *b.details} if a.details.get(key) != b.details.get(key))
    return "".join(f" with {key}={b.details.get(key)}, not {a.details.get(key)}," for key in keys)


def _exchanged(first: Sequence[object], other: Sequence[object]) -> tuple[int, Traced] | None:
    """The first instruction whose fresh tensors do not correspond to those of the first iteration."""
    there: dict[int, int] = {}
    back: dict[int, int] = {}
    for at, (a, b) in enumerate(zip(first, other, strict=True)):
        if isinstance(a, Traced) and isinstance(b, Traced) and len(a.fresh) == len(b.fresh):
            for x, y in zip(a.fresh, b.fresh, strict=True):
                if there.setdefault(x, y) != y or back.setdefault(y, x) != x:
                    return at, b
    return None
