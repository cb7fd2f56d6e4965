# SPDX-License-Identifier: Apache-2.0
"""int8 codes of activations, a scale for each token: q = x * (127 / amax), rounded to the nearest, ties to even."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.exact_factor import short_factor
from nkimoe.kernels.stages.exact_scale import exact_scale, limited
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS, spans

LARGEST = 127.0


class CodeLayout(Protocol):
    """Where the codes of a token's columns of H lie in its row."""

    def nbytes(self, columns: int) -> int:
        """Of the codes of so many columns."""
        ...

    def write(self, dst: Tensor, values: Tensor, factor: Tensor) -> None:
        """dst, int8 [n, nbytes], becomes codes of values [n, columns] * factor, fp32 [n, 1]."""
        ...


class InOrder:
    """As the columns are."""

    def nbytes(self, columns: int) -> int:
        """A byte each."""
        return columns

    def write(self, dst: Tensor, values: Tensor, factor: Tensor) -> None:
        """dst = values * factor, rounded."""
        nisa.activation(dst=dst, op=nl.copy, data=values, scale=factor)


class TokenScale:
    """What tokens are quantised with, as divisions round it.

    Args:
        amax: fp32 [128, tiles], the largest magnitude of each token; below 1e-7 it counts as that.
        divide: how 127 / amax is computed; the shorter way is for magnitudes of 16-bit numbers.

    Attributes:
        factor: 127 / amax, which gives the codes.
    """

    def __init__(self, amax: Tensor, divide: Callable[[Tensor, float], Tensor] = short_factor) -> None:
        self._amax = limited(amax)
        self.factor = divide(self._amax, LARGEST)

    def scale(self) -> Tensor:
        """amax / 127, which products of codes are multiplied with. Computed when it is asked for: codes do not wait."""
        return exact_scale(self._amax, LARGEST)


class CodedColumns(NamedTuple):
    """A matmul operand of integers, and the scales of its tokens.

    Attributes:
        data: [128, tiles, tokens], integers in a 16-bit type.
        columns: their scales beside the tokens, fp32 [128, tokens].
    """

    data: Tensor
    columns: Tensor


class CodedRows(NamedTuple):
    """The same, with the scales of each tile of 128 tokens on its partitions, fp32 [128, 1]."""

    data: Tensor
    scales: list[Tensor]


def of_tiles(values: Tensor, tokens: int) -> list[Tensor]:
    """[tokens, 1] for each tile of up to 128 tokens, of values [128, tiles]."""
    return [values[0 : own.size, t : t + 1] for t, own in enumerate(spans(tokens, PARTITIONS))]


def room_for_each(tokens: int) -> Tensor:
    """fp32 [128, tiles] for a number of each token, 0 where the last tile has none: it is computed with, too."""
    tiles = spans(tokens, PARTITIONS)
    room: Tensor = nl.ndarray((tiles[0].size, len(tiles)), dtype=nl.float32, buffer=nl.sbuf)
    if tiles[-1].size < tiles[0].size:
        nisa.memset(dst=room[:, len(tiles) - 1 :], value=0)
    return room


def int8_like(tile: Tensor) -> Tensor:
    """Room for the codes of a tile. An engine rounds and saturates when it writes there."""
    codes: Tensor = nl.ndarray(tuple(tile.shape), dtype=nl.int8, buffer=nl.sbuf)
    return codes
