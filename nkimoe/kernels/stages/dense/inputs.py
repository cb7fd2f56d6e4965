# SPDX-License-Identifier: Apache-2.0
"""The activations a projection multiplies with: kept in the compute dtype, or quantised to fp8."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.expert_vectors import ExpertVectors, Vectors
from nkimoe.kernels.stages.quantise import Fp8Quantiser
from nkimoe.kernels.stages.token_columns import CopiedColumns
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.quantization import Matrix


class Unquantised(CopiedColumns):
    """Activations in the compute dtype.

    Attributes:
        in_scale: of quantised activations.
        tiles_at_once: tiles of the contraction that one matmul takes.
    """

    in_scale: Tensor | None = None
    tiles_at_once = 1

    def room_for(self, dst: Tensor) -> Tensor:
        """Where values that become `dst` are computed: `dst` itself."""
        return dst

    def keep(self, dst: Tensor, values: Tensor) -> None:
        """They are in their place already."""


class BesideRows(Unquantised):
    """Likewise, where the Vector Engine has all results to multiply with a row of scales."""

    def store(self, dst: Tensor, src: Tensor, n: int) -> None:
        """dst = src, all by the Scalar Engine."""
        nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.scalar)


class Quantised:
    """Activations as fp8, x / in_scale rounded and saturated; products then run at the PE's double rate.

    Attributes:
        in_scale: fp32 [128, 1] of the expert at hand.
    """

    tiles_at_once = 2

    def __init__(self, quantiser: Fp8Quantiser) -> None:
        self._quantiser, self.dtype = quantiser, quantiser.dtype
        self.in_scale: Tensor | None = quantiser.in_scale

    def store(self, dst: Tensor, src: Tensor, n: int) -> None:
        """dst = src quantised, the same way each time."""
        self._quantiser.quantise(dst, src)

    def room_for(self, dst: Tensor) -> Tensor:
        """Values are quantised from fp32."""
        return nl.ndarray(tuple(dst.shape), dtype=nl.float32, buffer=nl.sbuf)

    def keep(self, dst: Tensor, values: Tensor) -> None:
        """Quantise them."""
        self._quantiser.quantise(dst, values)


DenseInputs = Unquantised | Quantised


def dense_inputs(
    matrix: Matrix, kind: type[Unquantised], compute_dtype: DType, tensors: ExpertVectors, vectors: Vectors
) -> DenseInputs:
    """The inputs of a matrix: of `kind` as they are, or quantised; their scale comes with `vectors`, the matrix's."""
    if matrix.in_scale is None:
        return kind(compute_dtype)
    in_scale = vectors.add(tensors.in_scale(matrix.in_scale))
    return Quantised(vectors.add_derived(Fp8Quantiser(matrix.input_dtype, in_scale.tile)))
