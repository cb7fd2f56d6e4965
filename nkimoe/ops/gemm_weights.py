# SPDX-License-Identifier: Apache-2.0
"""Weights of a grouped GEMM, in each of its quantisations, checked and packed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nkimoe.errors import InputError, require
from nkimoe.ops.expert_arguments import INT8_W8A8, check_finite, check_scale, padded, stacked
from nkimoe.ops.gemm_layout import as_bytes, packed_blocks, packed_columns, packed_mx, packed_weights
from nkimoe.ops.gemm_quantisation import FP8_BLOCK_W8A16, FP8_W8A8, FP8_W8A16, MX, TYPES, Quantisation
from nkimoe.ops.routing_tensors import dtype_of, like, shape_of, values_of
from nkimoe.planning.grouped_gemm.column_runs import BLOCK, column_runs
from nkimoe.planning.grouped_gemm.pieces import CODES_A_BYTE, ColumnPieces, ProjectionSizes, row_group
from nkimoe.planning.mx.quantization import BLOCK_SCALE_DTYPES
from nkimoe.planning.shares import MX_BLOCK, QUARTERS
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div
from nkimoe.routing.sorting_rule import is_count
from nkimoe.spec import EXACT_ROWS
from nkimoe.weights.host_array import is_torch
from nkimoe.weights.int8 import LARGEST, exact_rows_of
from nkimoe.weights.mx_scale import NOT_A_NUMBER

ROWS_A_TILE = CODES_A_BYTE * PARTITIONS  # of int4


@dataclass(frozen=True, eq=False)
class GemmWeights:
    """Weights of one projection, checked.

    Attributes:
        b: [E, N, K]; of int4 [E, N, K / 2].
        given: how they are quantised.
        scale: fp32 [E, N] that multiplies products, that of a included; or None.
        bias: fp32 [E, N], or None.
    """

    b: Any
    given: Quantisation
    scale: Any
    bias: Any

    @property
    def sizes(self) -> tuple[int, int]:
        """(E, N)."""
        return int(self.b.shape[0]), int(self.b.shape[1])

    def projection_sizes(self, K: int, columns: int, halves: int) -> ProjectionSizes:
        """For rows of K columns; `columns` are those of the result, with zeros behind its own."""
        if self.given.quantization in MX:
            return ProjectionSizes(K, columns, halves, QUARTERS, self.given.operands)
        is_scaled = self.given.quantization == FP8_BLOCK_W8A16
        group = row_group(K) if is_scaled else self.given.codes_a_byte
        return ProjectionSizes(K, columns, halves, group, self.given.operands)

    def runs(self, pieces: ColumnPieces, interleaved: bool) -> list[list[tuple[Span, int]]] | None:
        """Of columns that share a scale of blocks, as `column_runs` has them."""
        own = self.sizes[1] // pieces.halves
        return column_runs(pieces, own, interleaved) if self.given.has_blocks else None

    def exact_rows(self, least: int) -> int | None:
        """As `GemmOptions` has it, for codes of a of `least` or more."""
        if self.given.quantization != INT8_W8A8:
            return None
        codes = values_of("b", self.b)
        return EXACT_ROWS if codes is None or least < -LARGEST else exact_rows_of(codes.swapaxes(1, 2))

    def tensors(self, pieces: ColumnPieces, interleaved: bool) -> tuple[Any, ...]:
        """(b, group_scale, group_zero, scale, bias), as the kernel takes them."""
        vectors = (None if v is None else packed_columns(v, pieces, interleaved) for v in (self.scale, self.bias))
        if self.given.quantization in MX:
            return *packed_mx(self.b, self.given.b_scale, pieces, interleaved), None, *vectors
        rows = pieces.rows * PARTITIONS // self.given.codes_a_byte
        group = pieces.group // self.given.codes_a_byte
        b = packed_weights(padded(self.b, rows), pieces, interleaved, group=group)
        return b, *self._group_tensors(pieces, interleaved), *vectors

    def _group_tensors(self, pieces: ColumnPieces, interleaved: bool) -> tuple[Any, Any]:
        runs = self.runs(pieces, interleaved)
        if runs is not None:
            return packed_blocks(self.given.b_scale, pieces, [block for piece in runs for _, block in piece]), None
        if self.given.group_size is None:
            return None, None
        zero = _unpacked(self.given.zero_point, self.given.b_scale)
        scale = self._packed_groups(self.given.b_scale, pieces, interleaved)
        return scale, None if zero is None else self._packed_groups(zero, pieces, interleaved)

    def _packed_groups(self, tensor: Any, pieces: ColumnPieces, interleaved: bool) -> Any:
        """[E, pieces, groups of a tile, tiles, halves * width] of [E, N, groups]; a group of several tiles repeats."""
        size = self.given.group_size
        assert size is not None, "of int4"
        tiles, repeats = pieces.rows * PARTITIONS // ROWS_A_TILE, max(1, size // ROWS_A_TILE)
        if repeats > 1:
            tensor = tensor.repeat_interleave(repeats, 2) if is_torch(tensor) else np.repeat(tensor, repeats, axis=2)
        of_tile = max(1, ROWS_A_TILE // size)
        return packed_weights(padded(tensor, tiles * of_tile), pieces, interleaved, of_tile)


def checked_weights(b: Any, dtype: str, K: int, halves: int, given: Quantisation, bias: Any) -> GemmWeights:
    """The weights for rows [M, K] of type `dtype`, or of codes with results of it; `given` is checked.

    Raises:
        RequestError: a shape, type or option out of range. InputError: values that are not finite.
    """
    shape, together = shape_of("b", b), given.codes_a_byte
    is_right = len(shape) == 3 and min(shape) > 0 and shape[1] % halves == 0 and shape[2] * together == K
    rule = f"is [E, {'N' if halves == 1 else 'N, even'}, K] with K = {K}" + (", two codes a byte" * (together > 1))
    require(is_right, "b", rule, shape, "Stack the experts, output columns before the contraction.")
    types = TYPES.get(given.quantization, (dtype,))
    require(dtype_of(b) in types, "b", f"is {' or '.join(types)} with {given.quantization}", dtype_of(b), "Cast it.")
    check_finite("b", b)
    if bias is not None:
        bias = check_scale("bias", bias, shape[:2])
    return GemmWeights(b, given, _checked_scale(given, shape, dtype, K), bias)


def _checked_scale(given: Quantisation, shape: tuple[int, ...], dtype: str, K: int) -> Any:
    """[E, N], of products; None where weights are scaled, or not quantised."""
    if given.group_size is not None:
        _check_groups(given, shape, dtype, K)
        return None
    if given.b_scale is None:
        return None
    E, N = shape[:2]
    if given.quantization in MX:
        _check_mx_scale(given.b_scale, (E, N, K))
        return None
    if given.has_blocks:
        _check_blocks(given.b_scale, (E, ceil_div(N, BLOCK), ceil_div(K, BLOCK)))
        return None
    scale = given.b_scale
    if given.quantization in (FP8_W8A16, FP8_W8A8) and shape_of("b_scale", scale) in ((E,), (E, 1)):
        scale = check_scale("b_scale", scale, (E,))[:, None] * like(np.ones((1, N), np.float32), scale)
    scale = check_scale("b_scale", scale, (E, N))
    if given.quantization != FP8_W8A8:
        return scale
    of_a = check_scale("a_scale", given.a_scale.reshape(-1), (1,))
    values = values_of("a_scale", of_a)
    require(values is None or bool((values > 0).all()), "a_scale", "is positive", of_a, "Calibrate it.")
    return scale * of_a


def _check_blocks(scale: Any, shape: tuple[int, int, int]) -> None:
    given = shape_of("b_scale", scale)
    require(given == shape, "b_scale", f"is {shape}", given, "One for each block of 128 x 128, cut off ones too.")
    require(dtype_of(scale) == "float32", "b_scale", "is float32", dtype_of(scale), "Cast it.")
    check_finite("b_scale", scale)


def _check_mx_scale(scale: Any, sizes: tuple[int, int, int]) -> None:
    *columns, K = sizes
    require(K % MX_BLOCK == 0, "b", f"has K in whole blocks of {MX_BLOCK}", K, "Pad K with zeros.")
    given, wanted = shape_of("b_scale", scale), (*columns, K // MX_BLOCK)
    require(given == wanted, "b_scale", f"is {wanted}", given, f"One for {MX_BLOCK} neighbours along K.")
    dtype = dtype_of(scale)
    is_right = dtype in BLOCK_SCALE_DTYPES
    require(is_right, "b_scale", f"is {' or '.join(BLOCK_SCALE_DTYPES)}", dtype, "Pass the e8m0 codes.")
    codes = values_of("b_scale", as_bytes(scale, "uint8"))
    if codes is not None and (codes == NOT_A_NUMBER).any():
        raise InputError("b_scale", "is finite", f"the code {NOT_A_NUMBER}, which is NaN", "Repair the checkpoint.")


def _check_groups(given: Quantisation, shape: tuple[int, ...], dtype: str, K: int) -> None:
    size, (E, N) = int(given.group_size or 0) if is_count(given.group_size) else 0, shape[:2]
    fits = size >= CODES_A_BYTE and K % size == 0 and 0 in (ROWS_A_TILE % size, size % ROWS_A_TILE)
    rule = f"divides K = {K}, and is a power of two from 2 to {ROWS_A_TILE}, or a multiple of that"
    require(fits, "group_size", rule, repr(given.group_size), "Quantise in such groups.")
    groups = K // size
    given_shape = shape_of("b_scale", given.b_scale)
    require(given_shape == (E, N, groups), "b_scale", f"is {(E, N, groups)}", given_shape, "One a group of a column.")
    types = ("float32", dtype)
    require(
        dtype_of(given.b_scale) in types, "b_scale", f"is {' or '.join(types)}", dtype_of(given.b_scale), "Cast it."
    )
    check_finite("b_scale", given.b_scale)
    if given.zero_point is not None:
        found = shape_of("zero_point", given.zero_point), dtype_of(given.zero_point)
        is_right = N % 2 == 0 and found == ((E, N // 2, groups), "uint8")
        rule = f"is uint8 {(E, N // 2, groups)}, that of the even column in the low half"
        require(is_right, "zero_point", rule, found, "Pack two columns a byte.")


def _unpacked(zero_point: Any, scale: Any) -> Any:
    """Zeros [E, N, groups] as numbers of the scale's type; None of none."""
    if zero_point is None:
        return None
    E, pairs, groups = shape_of("zero_point", zero_point)
    halves = [(zero_point & 15).reshape(E, pairs, 1, groups), (zero_point >> 4).reshape(E, pairs, 1, groups)]
    zeros = stacked(halves, axis=2).reshape(E, 2 * pairs, groups)
    return zeros.to(scale.dtype) if is_torch(zeros) else zeros.astype(scale.dtype)
