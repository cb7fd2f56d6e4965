# SPDX-License-Identifier: Apache-2.0
"""Hidden states as MXFP8 rows with their scales behind, as the MX kernels take them (`planning.mx.coded_rows`)."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array, Floats
from nkimoe.planning.mx.coded_rows import coded_width, packed_width
from nkimoe.weights.formats import MXFP8
from nkimoe.weights.mx_scale import dequantize_blocks, quantize_blocks

RUN, QUARTERS, TILE = 8, 4, 512  # columns of a quarter in a block; of H


def quantize_rows(hidden_states: Array, rule: str = "isa", affinities: Array | None = None) -> Array:
    """float8_e4m3fn [T', H + ceil(H/2048) * 128] of [T', H]; blocks as `quantize_mx` makes them on chip.

    Args:
        affinities: bfloat16 [T' * E, 1], which go behind the scales, in bytes up to a multiple of four; None: none do.

    Raises:
        InputError: a value is NaN or infinite.
    """
    T, H = hidden_states.shape
    blocks = hidden_states.reshape(T, QUARTERS, -1, RUN).transpose(2, 3, 0, 1)  # [blocks, 8, T, quarter]
    elements, codes = quantize_blocks(blocks, MXFP8, rule, "hidden_states")
    E = 0 if affinities is None else affinities.size // T
    rows = np.zeros((T, packed_width(H, E)), np.uint8)
    rows[:, :H] = elements.view(np.uint8).transpose(2, 0, 1, 3).reshape(T, H)
    rows[:, H + scale_places(H)] = codes.T
    if affinities is not None:
        own = affinities.reshape(T, E).astype(ml_dtypes.bfloat16).view(np.uint8)
        rows[:, coded_width(H) : coded_width(H) + own.shape[1]] = own
    return rows.view(ml_dtypes.float8_e4m3fn)


def dequantize_rows(rows: Array, H: int) -> Floats:
    """float32 [T', H] of such rows."""
    codes = np.ascontiguousarray(rows[:, H:]).view(np.uint8)[:, scale_places(H)].T
    elements = np.ascontiguousarray(rows[:, :H]).reshape(len(rows), -1, RUN, QUARTERS).transpose(1, 2, 0, 3)
    real: Floats = dequantize_blocks(elements, codes).transpose(2, 3, 0, 1).reshape(len(rows), H)
    return real


def scale_places(H: int) -> Array:
    """Where the scales of blocks are behind the elements: of 16 blocks of each tile of 512."""
    h, r = np.divmod(np.arange(H // (RUN * QUARTERS)), TILE // (RUN * QUARTERS))
    return 128 * (h // 4) + 32 * (r // 4) + 4 * (h % 4) + r % 4
