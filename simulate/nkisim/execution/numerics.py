"""Which values are computed: all of them, or only those that do not depend on floating point arguments.

Everything else about an instruction (guards, bounds, bytes touched, events) is the same either way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nkisim.dtypes import DType
from nkisim.errors import NotSimulated
from nkisim.memory import NOT_COMPUTED, WRITTEN, Region, first_unwritten, is_computed, mark, read, write

Array = np.ndarray[Any, np.dtype[Any]]
_UNKNOWN_BYTE = 0xFF


class Numerics:
    """Computes every value."""

    def needs(self, dtype: DType) -> bool:
        """Whether the values of arguments of this type are looked at."""
        return True

    def carry_out(
        self,
        compute: Callable[..., Any],
        reads: Sequence[Region],
        writes: Sequence[Region],
        state: int = WRITTEN,
        hidden_input: bool = False,
    ) -> None:
        """Write what `compute` makes of the values read; the bytes written get `state`.

        Args:
            hidden_input: `compute` knows of more than it is given.
        """
        with np.errstate(all="ignore"):  # engines overflow to infinity without a word
            values = compute(*[read(r) for r in reads])
            for region, value in zip(writes, values if isinstance(values, tuple) else (values,), strict=True):
                write(region, value, state)

    def values(self, region: Region) -> Array:
        """A copy of what a region holds, for people: unwritten bytes as their poison."""
        first_unwritten(region)
        return read(region).copy()


class ShapesOnly(Numerics):
    """Computes only what follows from integer arguments and constants: loop bounds, indices, registers.

    Arguments of other types need no memory behind them. Products of the PE, and what an engine's registers or the other
    core have a part in, are never computed.
    """

    def needs(self, dtype: DType) -> bool:
        return dtype.is_integer or dtype == "bool"

    def carry_out(
        self,
        compute: Callable[..., Any],
        reads: Sequence[Region],
        writes: Sequence[Region],
        state: int = WRITTEN,
        hidden_input: bool = False,
    ) -> None:
        """As above where all values read are known.

        Raises:
            NotSimulated: a register would be loaded with a value that is not known.
        """
        known = state == WRITTEN and not hidden_input and all(is_computed(r) for r in reads)
        if known and not any(w.block.is_outline for w in writes):
            super().carry_out(compute, reads, writes, state)
        elif writes:
            for region in writes:
                mark(region, NOT_COMPUTED if state == WRITTEN else state)
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
