# SPDX-License-Identifier: Apache-2.0
"""What stands instead of each construct of NKI 0.1, and why: facts of AWS's migration guides."""

from __future__ import annotations

from dataclasses import dataclass

from nkisim.memory.no_array import SIGNS
from nkisim.nki._names import PUBLISHED
from nkisim.nki.published import REMOVED
from nkisim.renamed import SHORT


@dataclass(frozen=True)
class Replacement:
    """What to change at a line.

    Attributes:
        file, line: where; construct: what of NKI 0.1 stands there; source: its text.
        write: what to write; why: the reason; decision: what the author has to decide, or "".
    """

    file: str
    line: int
    construct: str
    source: str
    write: str
    why: str
    decision: str = ""

    def __str__(self) -> str:
        decision = f"\n    decide: {self.decision}" if self.decision else ""
        text = f"{self.file}:{self.line}: {self.construct}: {self.source}"
        return f"{text}\n    write: {self.write}\n    why: {self.why}{decision}"


RANGES = ("affine_range", "sequential_range", "static_range")
MODULES = {**{short: module for module, short in SHORT.items()}, "ncc": "nki.compiler"}
_OPERATORS = {
    "Add": "add", "Sub": "sub", "Mult": "mul", "Div": "truediv", "FloorDiv": "floordiv", "Mod": "mod", "Pow": "pow",
    "MatMult": "matmul", "BitAnd": "and", "BitOr": "or", "BitXor": "xor", "LShift": "lshift", "RShift": "rshift",
    "Lt": "lt", "LtE": "le", "Gt": "gt", "GtE": "ge", "USub": "neg", "Invert": "invert",
}  # fmt: skip
TILE_OPERATORS = {
    **{kind: SIGNS[name][1] for kind, name in _OPERATORS.items()},
    "Eq": "nl.equal", "NotEq": "nl.not_equal",
}  # fmt: skip
CHANGED_ARGUMENTS = {
    "affine_select": "pattern=, channel_multiplier=, offset= and cmp_op= take the place of pred=",
    "iota": "pattern=, offset= and channel_multiplier= take the place of the index expression",
    "memset": "the shape is that of dst",
    "nc_stream_shuffle": "dst comes before src",
}


def removed(name: str) -> str:
    """What to write for a name of NKI 0.1 that was removed (`nl.static_cast`); "" for any other."""
    place, _, last = name.partition(".")
    return REMOVED.get(MODULES.get(place, ""), {}).get(last, "")


def returned_a_tile(name: str) -> bool:
    """Whether a function of `nki.isa` takes the destination that it returned as a new tile in NKI 0.1."""
    found = PUBLISHED.get(("nki.isa", name))
    takes_dst = found is not None and (found.parameters or "").startswith("dst,")
    return takes_dst and name != "nc_stream_shuffle"  # which took one in NKI 0.1 already, and not by its name
