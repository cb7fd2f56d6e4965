# SPDX-License-Identifier: Apache-2.0
"""The activations a projection multiplies with, as MX operands: block scales, or one scale that is given."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.expert_vectors import ExpertVectors, Vectors
from nkimoe.kernels.stages.mx.operands import MxOperand, cleared, unit_scales
from nkimoe.kernels.stages.quantise import Fp8Quantiser
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.mx.quantization import MxMatrix
from nkimoe.planning.tiling import PARTITIONS


class Blockwise:
    """quantize_mx picks the scale of each block: 8 packed rows of a token.

    Attributes:
        dtype: of what is quantised.
        in_scale: one that is given.
    """

    in_scale: Tensor | None = None

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype

    def room(self, tiles: int, columns: int) -> MxOperand:
        """[128, tiles, columns]."""
        shape = (PARTITIONS, tiles, columns)
        scale = cleared(shape, nl.uint8)  # the rows between are exchanged with the others
        return MxOperand(nl.ndarray(shape, dtype=nl.float8_e4m3fn_x4, buffer=nl.sbuf), scale)

    def store(self, dst: MxOperand, src: Tensor) -> None:
        """dst = src quantised, four elements of src for each of dst."""
        nisa.quantize_mx(dst=dst.data, src=src, dst_scale=dst.scale)


class Static:
    """fp8(x / in_scale) with block scales of 1; the results are multiplied by in_scale.

    Attributes:
        dtype: of what is quantised.
        in_scale: fp32 [128, 1] of the expert at hand.
    """

    def __init__(self, quantiser: Fp8Quantiser) -> None:
        self._quantiser = quantiser
        self.dtype: DType = nl.float32
        self.in_scale: Tensor | None = quantiser.in_scale

    def room(self, tiles: int, columns: int) -> MxOperand:
        """[128, tiles, columns]."""
        data = nl.ndarray((PARTITIONS, tiles, columns), dtype=nl.float8_e4m3fn_x4, buffer=nl.sbuf)
        return MxOperand(data, unit_scales(tiles * columns).reshape((PARTITIONS, tiles, columns)))

    def store(self, dst: MxOperand, src: Tensor) -> None:
        """dst = src quantised, four elements of src for each of dst."""
        fp8 = dst.data.view(self._quantiser.dtype)
        self._quantiser.quantise(fp8, src.reshape(tuple(fp8.shape)))


MxInputs = Blockwise | Static


def mx_inputs(matrix: MxMatrix, compute_dtype: DType, tensors: ExpertVectors, vectors: Vectors) -> MxInputs:
    """The inputs of a matrix; their scale comes with `vectors`, the matrix's."""
    if matrix.in_scale is None:
        return Blockwise(compute_dtype)
    in_scale = vectors.add(tensors.in_scale(matrix.in_scale))
    return Static(vectors.add_derived(Fp8Quantiser("float8_e4m3fn", in_scale.tile)))
