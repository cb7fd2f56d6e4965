# SPDX-License-Identifier: Apache-2.0
"""Hidden states that come as MXFP8: a token's row is H elements, and behind them the scales of its blocks of 32.

Element 4 * (128 h + p) + q of a row is column q * H/4 + 128 h + p of H: four neighbours are a packed element. Byte
128 * (h // 4) + 32 * (r // 4) + 4 * (h % 4) + r % 4 behind them is the e8m0 code of packed rows 8 r to 8 r + 7 of
tile h. nkilib's `rmsnorm_mx_prefill` makes such rows. Behind the scales may lie the token's affinities of all experts
in bf16, and bytes up to a multiple of four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array

CODED = "float8_e4m3fn"  # the type of such rows
TILES_OF_A_GROUP, GROUP_BYTES = 4, 128  # tiles of 512 whose scales share so many bytes
AFFINITY_BYTES, ALIGNMENT = 2, 4


def is_coded(hidden_states: Any) -> bool:
    """Whether the rows are MXFP8."""
    return str(getattr(hidden_states, "dtype", None)) == CODED


def scale_groups(H: int) -> int:
    """Groups of 128 bytes of scales."""
    return -(-H // (512 * TILES_OF_A_GROUP))


def coded_width(H: int) -> int:
    """Bytes of a row.

    >>> coded_width(2048), coded_width(2560)
    (2176, 2816)
    """
    return H + scale_groups(H) * GROUP_BYTES


def packed_width(H: int, E: int) -> int:
    """Bytes of a row with affinities.

    >>> packed_width(2048, 8), packed_width(2048, 7)
    (2192, 2192)
    """
    return -(-(coded_width(H) + AFFINITY_BYTES * E) // ALIGNMENT) * ALIGNMENT


def packed_affinities(rows: Array, H: int, E: int) -> Array:
    """bfloat16 [T' * E, 1] of packed rows."""
    place = coded_width(H)
    own = np.ascontiguousarray(rows[:, place : place + AFFINITY_BYTES * E])
    return own.view(ml_dtypes.bfloat16).reshape(-1, 1)


@dataclass(frozen=True)
class AffinityPlace:
    """The affinity of token t and expert e is number t * step + first + e of those in memory."""

    step: int
    first: int = 0

    @classmethod
    def behind_rows(cls, H: int, E: int) -> AffinityPlace:
        """In packed rows."""
        return cls(packed_width(H, E) // AFFINITY_BYTES, coded_width(H) // AFFINITY_BYTES)
