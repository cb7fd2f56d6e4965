"""The activations a projection multiplies with, as MX operands: block scales, or one scale that is given."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.dense.inputs import Quantised
from nkimoe.kernels.stages.dense.pieces import Vector
from nkimoe.kernels.stages.mx.operands import Operand, cleared, unit_scales
from nkimoe.planning.tiling import PARTITIONS


class Blockwise:
    """quantize_mx picks the scale of each block: 8 packed rows of a token.

    Attributes:
        dtype: of what is quantised.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def open(self) -> None:
        """A block of another expert begins."""

    def room(self, tiles: int, columns: int) -> Operand:
        """[128, tiles, columns]."""
        shape = (PARTITIONS, tiles, columns)
        scale = cleared(shape, nl.uint8)  # the rows between are exchanged with the others
        return Operand(nl.ndarray(shape, dtype=nl.float8_e4m3fn_x4, buffer=nl.sbuf), scale)

    def store(self, dst: Operand, src: Any) -> None:
        """dst = src quantised, four elements of src for each of dst."""
        nisa.quantize_mx(dst=dst.data, src=src, dst_scale=dst.scale)


class Static(Quantised):
    """fp8(x / in_scale) with block scales of 1; the results are multiplied by in_scale."""

    def __init__(self, in_scale: Vector) -> None:
        super().__init__("float8_e4m3fn", in_scale)
        self.dtype = nl.float32

    def room(self, tiles: int, columns: int) -> Operand:
        """[128, tiles, columns]."""
        data = nl.ndarray((PARTITIONS, tiles, columns), dtype=nl.float8_e4m3fn_x4, buffer=nl.sbuf)
        return Operand(data, unit_scales(tiles * columns).reshape((PARTITIONS, tiles, columns)))

    def store(self, dst: Operand, src: Any, turn: int = 0) -> None:
        """dst = src quantised, four elements of src for each of dst."""
        fp8 = dst.data.view(nl.float8_e4m3fn)
        super().store(fp8, src.reshape(tuple(fp8.shape)))


Inputs = Blockwise | Static
