# SPDX-License-Identifier: Apache-2.0
"""How operands of a grouped GEMM are quantised: the names, and what comes with each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import INT8_W8A8, UNQUANT, check_quantization
from nkimoe.planning.grouped_gemm.pieces import CODES_A_BYTE, Operands

INT8_W8A16, INT4_W4A16, FP8_W8A16, FP8_W8A8 = "int8_w8a16", "int4_w4a16", "fp8_w8a16", "fp8_w8a8"
MXFP4, MXFP8 = "mxfp4", "mxfp8"
MX = (MXFP4, MXFP8)
FP8_BLOCK_W8A16, FP8_BLOCK_W8A8 = "fp8_block_w8a16", "fp8_block_w8a8"
BLOCKS = (FP8_BLOCK_W8A16, FP8_BLOCK_W8A8)
E4M3 = ("float8_e4m3", "float8_e4m3fn")
FP8 = (*E4M3, "float8_e5m2")
TYPES = {
    INT8_W8A16: ("int8",), INT8_W8A8: ("int8",), INT4_W4A16: ("uint8",), FP8_W8A16: FP8, FP8_W8A8: FP8,
    FP8_BLOCK_W8A16: FP8, FP8_BLOCK_W8A8: FP8, MXFP4: ("uint8",), MXFP8: ("float8_e4m3fn",),
}  # fmt: skip
QUANTISATIONS = (UNQUANT, *TYPES)
ROW_CODES = {INT8_W8A8: ("int8",), FP8_BLOCK_W8A8: E4M3}  # types of rows that come as codes, with their scales
OPERANDS = {
    **dict.fromkeys((INT8_W8A16, INT4_W4A16, FP8_BLOCK_W8A16), Operands.CONVERTED),
    **dict.fromkeys((INT8_W8A8, FP8_W8A8, FP8_BLOCK_W8A8, *MX), Operands.CODED),
}


def operands_of(quantization: str) -> Operands:
    """What the PE multiplies.

    >>> operands_of("unquant"), operands_of("fp8_w8a8")
    (<Operands.PLAIN: 'plain'>, <Operands.CODED: 'coded'>)
    """
    return OPERANDS.get(quantization, Operands.PLAIN)


@dataclass(frozen=True, eq=False)
class Quantisation:
    """Arguments of the same names of `fused_moe_gemm`."""

    quantization: str
    b_scale: Any = None
    zero_point: Any = None
    group_size: int | None = None
    a_scale: Any = None

    def check(self, rows: str) -> None:
        """What comes with which.

        Args:
            rows: the type of a.

        Raises:
            RequestError: something is missing, or is given beside what it is not for.
        """
        kind = self.quantization
        check_quantization(kind, QUANTISATIONS, "Dequantise other weights first.")
        of_rows = (kind,) if rows in ROW_CODES.get(kind, ()) else (FP8_W8A8,)
        for name, value, kinds in (
            ("b_scale", self.b_scale, tuple(TYPES)), ("group_size", self.group_size, (INT4_W4A16,)),
            ("a_scale", self.a_scale, of_rows),
        ):  # fmt: skip
            rule = f"is given with {' or '.join(kinds)}, and no other"
            given = "None" if value is None else "it"
            fix = "Add or drop it." if name != "a_scale" else f"Rows of {rows} become codes as {kind} says."
            require((value is not None) == (kind in kinds), name, rule, f"{given} with {kind}", fix)
        is_right = self.zero_point is None or kind == INT4_W4A16
        require(is_right, "zero_point", f"is for {INT4_W4A16}", kind, "Other weights are symmetric.")

    @property
    def operands(self) -> Operands:
        """What the PE multiplies."""
        return operands_of(self.quantization)

    @property
    def codes_a_byte(self) -> int:
        """Rows of the contraction that share an element of b."""
        return CODES_A_BYTE if self.quantization in (INT4_W4A16, MXFP4) else 1

    @property
    def has_blocks(self) -> bool:
        """Whether weights have a scale for each block of 128 x 128."""
        return self.quantization in BLOCKS

    def row_codes(self, b: str) -> str | None:
        """What rows of a are, or become, for weights of the type `b`."""
        if self.quantization in (FP8_W8A8, FP8_BLOCK_W8A8):
            return "float8_e4m3fn" if b == "float8_e4m3fn" else "float8_e4m3"
        return "int8" if self.quantization == INT8_W8A8 else None
