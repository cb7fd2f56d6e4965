# SPDX-License-Identifier: Apache-2.0
"""Weights whose codes stay in SBUF, a byte each, while pieces of them become 16-bit numbers when used: int8, which the
PE does not take, and fp8 with a scale a block, which does not factor out of the sums.

Codes are converted for every part, also where the expert stays: a program cannot branch on that. A transfer could cast
on its way, but software describes such transfers, a descriptor a row, on the engine that describes the gathers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.weight_pieces import LoadPiece, MatrixPiece, Pieces
from nkimoe.kernels.tensor import DType, IndexTile, Shape, Tensor
from nkimoe.planning.tiling import CONVERTED_PIECES, PSUM_COLUMNS, spans

# Which engines convert the tiles of a piece, in turns. Predicted best of six patterns, on layers of Qwen3-30B-A3B and
# Mixtral at 640 and 4096 tokens: GpSimd describes gathers, and the Vector Engine has most to do without this.
TURNS = (nisa.engine.scalar, nisa.engine.vector, nisa.engine.scalar)
# Likewise of codes without a scale a block, of three patterns: codes of tokens, too, keep the Scalar Engine busy.
TURNS_ALONE = (nisa.engine.scalar, nisa.engine.vector)
# Likewise where GpSimd has few rows to describe: of twelve patterns, on Qwen3-30B-A3B at 640 tokens.
TURNS_OF_THREE = (
    nisa.engine.scalar, nisa.engine.vector, nisa.engine.scalar,
    nisa.engine.gpsimd, nisa.engine.vector, nisa.engine.scalar,
)  # fmt: skip


class Conversion(Protocol):
    """From codes to numbers."""

    def load(self, expert: IndexTile) -> None:
        """Start to load what the codes of an expert are converted with; an expert of E loads nothing."""

    def turn(self) -> None:
        """From now on codes are those of the expert loaded last."""

    def convert(self, dst: Tensor, src: Tensor, piece: MatrixPiece) -> None:
        """dst = src as numbers: what a piece fills of tiles [128, tiles, ..., columns]."""


class Alone:
    """The numbers that the codes are."""

    def load(self, expert: IndexTile) -> None:
        """Nothing to load."""

    def turn(self) -> None:
        """Nothing to turn to."""

    def convert(self, dst: Tensor, src: Tensor, piece: MatrixPiece) -> None:
        convert(dst, src)


class OnThreeEngines(Alone):
    """The same in blocks of `FEW_SLOTS`; long tiles in runs, so that each engine has one of a piece of two tiles."""

    def convert(self, dst: Tensor, src: Tensor, piece: MatrixPiece) -> None:
        between: list[int | slice] = [slice(0, n) for n in src.shape[2:-1]]
        runs = [(n, own.slice) for n in range(src.shape[1]) for own in spans(src.shape[-1], PSUM_COLUMNS)]
        for n, (tile, columns) in enumerate(runs):
            at: tuple[int | slice, ...] = (slice(0, src.shape[0]), tile, *between, columns)
            nisa.tensor_copy(dst=dst[at], src=src[at], engine=TURNS_OF_THREE[n % len(TURNS_OF_THREE)])


class ConvertedPieces(Pieces[MatrixPiece, Tensor]):
    """Pieces of codes; who visits them gets each as numbers, the next one being converted meanwhile.

    Args:
        tiles: of codes; loading replaces a piece as soon as it was converted.
        values: tiles of numbers that pieces take in turns, at least two.
        conversion: what makes numbers of codes.
    """

    def __init__(
        self, pieces: Sequence[MatrixPiece], tiles: list[Tensor], load: LoadPiece[Tensor, MatrixPiece],
        values: list[Tensor], conversion: Conversion,
    ) -> None:  # fmt: skip
        super().__init__(pieces, tiles, load)
        self._values, self._conversion = values, conversion

    def fill(self, part: Part) -> None:
        self._conversion.load(part.block.expert)
        super().fill(part)
        self._open(part)

    def visit(self, now: Part, following: Part | None) -> Iterator[tuple[MatrixPiece, Tensor]]:
        """The first piece was converted by the visit before, or by `fill`."""
        last = len(self.pieces) - 1
        waits = self._values_of(last) is self._values_of(0)  # the room of the first piece is in use
        if following is not None and following.opens_block:
            self._conversion.load(following.block.expert_to_load)
        self._load_behind(0, now, following)
        for i, piece in enumerate(self.pieces):
            if i < last:
                self._convert(i + 1)
                self._load_behind(i + 1, now, following)
            elif following is not None and not waits:
                self._open(following)
            yield piece, self._values_of(i)
        if following is not None and waits:
            self._open(following)
        self.vectors.replace(following)

    def _open(self, part: Part) -> None:
        """Convert the first piece of a part."""
        if part.opens_block:
            self._conversion.turn()
        self._convert(0)

    def _convert(self, i: int) -> None:
        piece = self.pieces[i]
        self._conversion.convert(_used(self._values_of(i), piece), _used(self.tile_of(i), piece), piece)

    def _load_behind(self, i: int, now: Part, following: Part | None) -> None:
        self.refill(i, now, following)

    def _values_of(self, i: int) -> Tensor:
        """Of each piece always the same tile: a device loop finds its first piece there."""
        return self._values[i % len(self._values)]


def room_for_values(shape: Shape, dtype: DType) -> list[Tensor]:
    """Tiles for the numbers of pieces, the first of which has this shape."""
    return [nl.ndarray(shape, dtype=dtype, buffer=nl.sbuf) for _ in range(CONVERTED_PIECES)]


def convert(dst: Tensor, src: Tensor) -> None:
    """dst = src, exact; engines take turns, a tile [128, ...] of [128, tiles, ...] each."""
    for n in range(src.shape[1]):
        nisa.tensor_copy(dst=dst[:, n], src=src[:, n], engine=TURNS_ALONE[n % len(TURNS_ALONE)])


def converted(rows: Tensor, dtype: DType) -> Tensor:
    """Rows [tokens, H] as numbers of another type, a quarter at a time: H is a multiple of 128."""
    (tokens, H), quarters = rows.shape, 4
    result: Tensor = nl.ndarray((tokens, H), dtype=dtype, buffer=nl.sbuf)
    for n, own in enumerate(spans(H, H // quarters)):
        nisa.tensor_copy(dst=result[:, own.slice], src=rows[:, own.slice], engine=TURNS[n % len(TURNS)])
    return result


def _used(tile: Tensor, piece: MatrixPiece) -> Tensor:
    """The part of a tile [128, tiles, ..., columns] that a piece fills."""
    between = (slice(0, n) for n in tile.shape[2:-1])
    return tile[(slice(0, tile.shape[0]), slice(0, piece.tiles), *between, slice(0, piece.columns.size))]
