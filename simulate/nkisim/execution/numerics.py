# SPDX-License-Identifier: Apache-2.0
"""Which values are computed: all of them, or only those that do not depend on floating point arguments.

Everything else about an instruction (guards, bounds, bytes touched, events) is the same either way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from nkisim.dtypes import Array, DType
from nkisim.errors import NotSimulated
from nkisim.memory import NOT_COMPUTED, WRITTEN, Region, add, copied, first_unwritten, is_computed, mark, read, write

_UNKNOWN_BYTE = 0xFF


class Semantics(Protocol):
    """What an instruction does to values.

    Attributes:
        compute: the values of the operands written from those of the operands read: an array, or a tuple of arrays.
        accumulates: the values are added, in fp32, to the only operand written, which is also the last one read;
            `compute` is not given it. An array says to which of its elements; the others are overwritten, and it is
            not among those read.
        leaves: the state of what is written.
        hidden_input: `compute` knows of more than it is given.
    """

    @property
    def compute(self) -> Callable[..., Any]: ...

    accumulates: bool | Array
    leaves: int
    hidden_input: bool


class Numerics:
    """Computes every value."""

    def needs(self, dtype: DType) -> bool:
        """Whether the values of arguments of this type are looked at."""
        return True

    def carry_out(self, what: Semantics, reads: Sequence[Region], writes: Sequence[Region]) -> None:
        """Store what is made of the values read."""
        with np.errstate(all="ignore"):  # engines overflow to infinity without a word
            if what.accumulates is True:
                add(writes[0], what.compute(*[read(r) for r in reads[:-1]]), what.leaves)
                return
            values = what.compute(*[read(r) for r in reads])
            if what.accumulates is not False:
                add(writes[0], values, what.leaves, what.accumulates)
                return
            for region, value in zip(writes, values if isinstance(values, tuple) else (values,), strict=True):
                write(region, value, what.leaves)

    def values(self, region: Region) -> Array:
        """A copy of what a region holds, for people: unwritten bytes as their poison. Rows keep their pitch."""
        first_unwritten(region)
        return copied(region)


class ShapesOnly(Numerics):
    """Computes only what follows from integer arguments and constants: loop bounds, indices, registers.

    Arguments of other types need no memory behind them. Products of the PE, and what an engine's registers have a part
    in, are never computed; what the other core sends is known where it is there.
    """

    def needs(self, dtype: DType) -> bool:
        return dtype.is_integer or dtype == "bool"

    def carry_out(self, what: Semantics, reads: Sequence[Region], writes: Sequence[Region]) -> None:
        """As above where all values read are known.

        Raises:
            NotSimulated: a register would be loaded with a value that is not known.
        """
        known = what.leaves == WRITTEN and not what.hidden_input and all([is_computed(r) for r in reads])
        if known and not any([w.block.is_outline for w in writes]):
            super().carry_out(what, reads, writes)
        elif writes:
            for region in writes:
                mark(region, NOT_COMPUTED if what.leaves == WRITTEN else what.leaves)
        else:
            raise NotSimulated(
                "without numerics, registers depend on integer arguments and constants only",
                f"a load from the {reads[0].access.storage}, whose value follows from floating point data",
                "Simulate with numerics=True.",
            )

    def values(self, region: Region) -> Array:
        """As above; what is not known is NaN, or -1 in integers."""
        if is_computed(region):
            return super().values(region)
        dtype, shape = region.access.dtype, region.access.shape
        unknown = np.full(dtype.itemsize, _UNKNOWN_BYTE, np.uint8).view(dtype.numpy)
        return np.broadcast_to(unknown, shape).copy()


COMPUTED = Numerics()
