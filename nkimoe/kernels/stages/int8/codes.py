"""int8 codes of activations, a scale for each token: q = x * (127 / amax), rounded to the nearest, ties to even."""

from __future__ import annotations

from typing import NamedTuple

import nki.language as nl

from nkimoe.kernels.stages.exact_factor import short_factor
from nkimoe.kernels.stages.exact_scale import exact_scale, limited
from nkimoe.kernels.tensor import Tensor

LARGEST = 127.0


class TokenScales(NamedTuple):
    """fp32 [128, n], of token t of tile i in row t of column i.

    Attributes:
        scale: amax / 127, which products of codes are multiplied with.
        factor: 127 / amax, which gives the codes.
    """

    scale: Tensor
    factor: Tensor

    @classmethod
    def of(cls, amax: Tensor) -> TokenScales:
        """Both as divisions round them, of magnitudes of 16-bit numbers; below 1e-7, amax counts as that."""
        largest = limited(amax)
        return cls(exact_scale(largest, LARGEST), short_factor(largest, LARGEST))


class Codes(NamedTuple):
    """A matmul operand of integers, and the scales of its tokens.

    Attributes:
        data: [128, tiles, tokens], integers in a 16-bit type.
        scales: fp32; as columns [128, tokens], or as tiles [128, n].
    """

    data: Tensor
    scales: Tensor


def int8_like(tile: Tensor) -> Tensor:
    """Room for the codes of a tile. An engine rounds and saturates when it writes there."""
    codes: Tensor = nl.ndarray(tuple(tile.shape), dtype=nl.int8, buffer=nl.sbuf)
    return codes


def columns_of(values: Tensor) -> list[Tensor]:
    """The columns [128, 1] of [128, n]."""
    return [values[:, i : i + 1] for i in range(values.shape[1])]
