"""Hidden states that come as MXFP8: a token's row is H elements, and behind them the scales of its blocks of 32.

Element 4 * (128 h + p) + q of a row is column q * H/4 + 128 h + p of H: four neighbours are a packed element. Byte
128 * (h // 4) + 32 * (r // 4) + 4 * (h % 4) + r % 4 behind them is the e8m0 code of packed rows 8 r to 8 r + 7 of
tile h. nkilib's `rmsnorm_mx_prefill` makes such rows.
"""

from __future__ import annotations

from typing import Any

CODED = "float8_e4m3fn"  # the type of such rows
TILES_OF_A_GROUP, GROUP_BYTES = 4, 128  # tiles of 512 whose scales share so many bytes


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
