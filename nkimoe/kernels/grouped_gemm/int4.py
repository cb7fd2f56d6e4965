# SPDX-License-Identifier: Apache-2.0
"""int4 weights: two codes a byte, which become (code - zero) * scale, rounded to the type of a, when a piece is used.

A byte holds two neighbouring rows of the contraction, so both are of one group, and the low halves of 128 bytes are one
tile of rows, the high halves the next (`stages/token_columns.hidden_rows` with groups of two). Rows of a group lie on
neighbouring partitions; a matmul with ones copies what belongs to the group to all of them, bits as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.grouped_gemm.pieces import load_piece, room_like
from nkimoe.kernels.stages.converted_pieces import Alone, ConvertedPieces
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.weight_pieces import LoadPiece, MatrixPiece, Pieces
from nkimoe.kernels.tensor import Operator, Tensor
from nkimoe.planning.grouped_gemm.request import Groups
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans

HALVES: tuple[tuple[Operator, int], ...] = ((nl.bitwise_and, 15), (nl.right_shift, 4))
"""What takes the low, and the high, half of a byte."""
MIDDLE = 8.0  # the zero of codes without zeros of their own


class PassGroups:
    """Scales, and zeros if there are any, of the pieces of a pass.

    Args:
        members: [groups, 128], ones where a partition is of a group.
    """

    def __init__(self, kinds: list[Pieces[MatrixPiece, Tensor]], members: Tensor) -> None:
        self._kinds, self._members = kinds, members

    def fill(self, part: Part) -> None:
        """Load those of the first part."""
        for each in self._kinds:
            each.fill(part)

    def refill(self, i: int, now: Part, following: Part | None) -> None:
        """Load what comes behind those of piece i."""
        for each in self._kinds:
            each.refill(i, now, following)

    def of_rows(self, i: int, tile: int, columns: Span) -> list[Tensor]:
        """fp32 [128, columns] each, for the bytes of a tile of piece i."""
        return [self._copied(each.tile_of(i)[:, tile, columns.slice]) for each in self._kinds]

    def _copied(self, groups: Tensor) -> Tensor:
        copied: Tensor = nl.ndarray((PARTITIONS, groups.shape[1]), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=copied, stationary=self._members, moving=groups, is_stationary_onezero=True)
        return copied


class GroupRoom:
    """Room for scales and zeros of the pieces of a pass."""

    def __init__(self, groups: Groups, count: int) -> None:
        self._tensors = [tensor for tensor in (groups.scale, groups.zero) if tensor is not None]
        self._tiles = [room_like(tensor, count) for tensor in self._tensors]
        size = int(groups.scale.shape[2])
        identity: Tensor = nl.shared_identity_matrix(PARTITIONS, dtype=groups.scale.dtype)
        # A copy, because the PE loads a stationary tile with one step.
        self._members: Tensor = nl.ndarray((size, PARTITIONS), dtype=groups.scale.dtype, buffer=nl.sbuf)
        members = self._members.reshape((size, size, PARTITIONS // size))
        repeated = identity[0:size, 0:size].expand_dim(2).broadcast(2, PARTITIONS // size)
        nisa.tensor_copy(dst=members, src=repeated)

    def of(self, places: list[MatrixPiece]) -> PassGroups:
        """Those of some pieces."""
        pairs = zip(self._tensors, self._tiles, strict=True)
        kinds = [Pieces(places, tiles[: len(places)], partial(load_piece, tensor)) for tensor, tiles in pairs]
        return PassGroups(kinds, self._members)


class Int4Pieces(ConvertedPieces):
    """Pieces of bytes, with the scales and zeros of their groups."""

    def __init__(
        self, pieces: Sequence[MatrixPiece], tiles: list[Tensor], load: LoadPiece[Tensor, MatrixPiece],
        values: list[Tensor], groups: PassGroups,
    ) -> None:  # fmt: skip
        super().__init__(pieces, tiles, load, values, Alone())
        self._groups = groups

    def fill(self, part: Part) -> None:
        self._groups.fill(part)
        super().fill(part)

    def _load_behind(self, i: int, now: Part, following: Part | None) -> None:
        super()._load_behind(i, now, following)
        self._groups.refill(i, now, following)

    def _convert(self, i: int) -> None:
        values, codes = self._values_of(i), self.tile_of(i)
        for t in range(codes.shape[1]):
            for columns in spans(codes.shape[2], PSUM_COLUMNS):
                of_rows = self._groups.of_rows(i, t, columns)
                for n, (op, operand) in enumerate(HALVES):
                    code: Tensor = nl.ndarray((PARTITIONS, columns.size), dtype=nl.uint8, buffer=nl.sbuf)
                    nisa.tensor_scalar(dst=code, data=codes[:, t, columns.slice], op0=op, operand0=operand)
                    _scale(values[:, 2 * t + n, columns.slice], code, *of_rows)


def _scale(dst: Tensor, code: Tensor, scale: Tensor, zero: Tensor | None = None) -> None:
    """dst = (code - zero) * scale."""
    if zero is None:
        nisa.scalar_tensor_tensor(dst=dst, data=code, op0=nl.subtract, operand0=MIDDLE, op1=nl.multiply, operand1=scale)
        return
    distance: Tensor = nl.ndarray(tuple(code.shape), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=distance, data1=code, data2=zero, op=nl.subtract)
    nisa.tensor_tensor(dst=dst, data1=distance, data2=scale, op=nl.multiply)
