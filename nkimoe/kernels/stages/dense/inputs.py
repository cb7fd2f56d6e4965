"""The activations a projection multiplies with: kept in the compute dtype, or quantised to fp8."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa


class Unquantised:
    """Activations in the compute dtype.

    Attributes:
        dtype: of the matmul operand.
        tiles_at_once: tiles of the contraction that one matmul takes.
    """

    tiles_at_once = 1

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def store(self, dst: Any, src: Any) -> None:
        """dst = src, from PSUM."""
        nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.scalar)

    def stage(self, dst: Any) -> Any:
        """Where results that become `dst` are computed: `dst` itself."""
        return dst

    def settle(self, dst: Any, staged: Any) -> None:
        """Nothing is left to do."""
