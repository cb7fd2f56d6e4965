"""Weights of a grouped GEMM, in each of its quantisations, checked and packed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import FLOATS, INT8_W8A8, UNQUANT, check_finite, check_scale, on_host, padded
from nkimoe.ops.gemm_layout import packed_columns, packed_weights
from nkimoe.ops.routing_tensors import dtype_of, like, shape_of
from nkimoe.planning.grouped_gemm.pieces import MOST_ROWS, ColumnPieces
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.routing.sorting_rule import is_count
from nkimoe.weights.int8 import exact_rows_of

INT8_W8A16, INT4_W4A16, FP8_W8A16, FP8_W8A8 = "int8_w8a16", "int4_w4a16", "fp8_w8a16", "fp8_w8a8"
FP8 = ("float8_e4m3", "float8_e4m3fn", "float8_e5m2")
TYPES = {INT8_W8A16: ("int8",), INT8_W8A8: ("int8",), INT4_W4A16: ("uint8",), FP8_W8A16: FP8, FP8_W8A8: FP8}
QUANTISATIONS = (UNQUANT, *TYPES)
CODES_A_BYTE = 2
ROWS_A_TILE = CODES_A_BYTE * PARTITIONS  # of int4


@dataclass(frozen=True, eq=False)
class Quantisation:
    """Arguments of the same names of `fused_moe_gemm`."""

    quantization: str
    b_scale: Any = None
    zero_point: Any = None
    group_size: int | None = None
    a_scale: Any = None

    def check(self) -> None:
        """What comes with which. Raises RequestError."""
        kind = self.quantization
        require(
            kind in QUANTISATIONS, "quantization", f"is {', '.join(QUANTISATIONS)}", repr(kind),
            "Dequantise other weights first.",
        )  # fmt: skip
        for name, value, kinds in (
            ("b_scale", self.b_scale, tuple(TYPES)), ("group_size", self.group_size, (INT4_W4A16,)),
            ("a_scale", self.a_scale, (FP8_W8A8,)),
        ):  # fmt: skip
            rule = f"is given with {' or '.join(kinds)}, and no other"
            given = "None" if value is None else "it"
            require((value is not None) == (kind in kinds), name, rule, f"{given} with {kind}", "Add or drop it.")
        is_right = self.zero_point is None or kind == INT4_W4A16
        require(is_right, "zero_point", f"is for {INT4_W4A16}", kind, "Other weights are symmetric.")

    @property
    def codes_a_byte(self) -> int:
        """Rows of the contraction that share an element of b."""
        return CODES_A_BYTE if self.quantization == INT4_W4A16 else 1


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

    @property
    def is_converted(self) -> bool:
        """Whether they become 16-bit numbers on chip."""
        return dtype_of(self.b) in ("int8", "uint8")

    @property
    def row_codes(self) -> str | None:
        """What rows of a become."""
        if self.given.quantization == FP8_W8A8:
            return "float8_e4m3fn" if dtype_of(self.b) == "float8_e4m3fn" else "float8_e4m3"
        return "int8" if self.given.quantization == INT8_W8A8 else None

    @property
    def exact_rows(self) -> int | None:
        """As `GemmOptions` has it."""
        is_exact = self.given.quantization == INT8_W8A8
        return exact_rows_of(on_host("b", self.b).swapaxes(1, 2)) if is_exact else None

    def tensors(self, pieces: ColumnPieces, interleaved: bool) -> tuple[Any, ...]:
        """(a_scale, b, group_scale, group_zero, scale, bias), as the kernel takes them."""
        a_scale = None if self.given.a_scale is None else self.given.a_scale.reshape(1, 1)
        groups: tuple[Any, Any] = (None, None)
        if self.given.group_size is not None:
            parts = self.given.b_scale, _unpacked(self.given.zero_point, self.given.b_scale)
            groups = tuple(None if p is None else self._packed_groups(p, pieces, interleaved) for p in parts)  # type: ignore[assignment]
        vectors = (None if v is None else packed_columns(v, pieces, interleaved) for v in (self.scale, self.bias))
        rows = pieces.rows * PARTITIONS // self.given.codes_a_byte
        return a_scale, packed_weights(padded(self.b, rows), pieces, interleaved), *groups, *vectors

    def _packed_groups(self, tensor: Any, pieces: ColumnPieces, interleaved: bool) -> Any:
        """[E, pieces, groups of a tile, tiles, halves * width] of [E, N, groups]; a group of several tiles repeats."""
        size = self.given.group_size
        assert size is not None, "of int4"
        tiles, repeats = pieces.rows * PARTITIONS // ROWS_A_TILE, max(1, size // ROWS_A_TILE)
        if repeats > 1:
            tensor = like(np.repeat(on_host("b_scale", tensor), repeats, axis=2), tensor)
        of_tile = max(1, ROWS_A_TILE // size)
        return packed_weights(padded(tensor, tiles * of_tile), pieces, interleaved, of_tile)


def check_rows(name: str, a: Any) -> tuple[int, int]:
    """(rows, K) of a [rows, K]. Raises RequestError, and InputError for values that are not finite."""
    shape = shape_of(name, a)
    is_right = len(shape) == 2 and 0 < shape[1] <= MOST_ROWS
    require(is_right, name, f"is [rows, K], K from 1 to {MOST_ROWS}", shape, "Flatten batch and sequence, or split K.")
    require(dtype_of(a) in FLOATS, name, f"is {' or '.join(FLOATS)}", dtype_of(a), "Cast it.")
    check_finite(name, a)
    return shape[0], shape[1]


def checked_weights(b: Any, dtype: str, K: int, halves: int, given: Quantisation, bias: Any) -> GemmWeights:
    """The weights for rows [M, K] of type `dtype`.

    Raises:
        RequestError: a shape, type or option out of range. InputError: values that are not finite.
    """
    given.check()
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
    scale = given.b_scale
    if given.quantization in (FP8_W8A16, FP8_W8A8) and shape_of("b_scale", scale) in ((E,), (E, 1)):
        scale = check_scale("b_scale", scale, (E,))[:, None] * like(np.ones((1, N), np.float32), scale)
    scale = check_scale("b_scale", scale, (E, N))
    if given.a_scale is None:
        return scale
    of_a = check_scale("a_scale", given.a_scale.reshape(-1), (1,))
    require(bool((of_a > 0).all()), "a_scale", "is positive", of_a, "Calibrate it.")
    return scale * of_a


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
    packed = on_host("zero_point", zero_point)
    E, pairs, groups = packed.shape
    zeros = np.stack([packed & 15, packed >> 4], axis=2).reshape(E, 2 * pairs, groups)
    return like(zeros.astype(on_host("b_scale", scale).dtype), zero_point)
