# SPDX-License-Identifier: Apache-2.0
"""Rows that each expert quantises for itself: smoothed by its row first."""

from __future__ import annotations

from collections.abc import Iterator

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.exact_factor import exact_factor
from nkimoe.kernels.stages.exact_scale import largest_magnitude
from nkimoe.kernels.stages.int8.codes import CodeLayout, TokenScale
from nkimoe.kernels.tensor import Tensor


def smoothed_codes(rows: list[Tensor], smooth: Tensor, layout: CodeLayout) -> tuple[Iterator[Tensor], list[Tensor]]:
    """Codes of rows [128, H] * smooth [128, H], laid out, and their scales fp32 [128, 1].

    Codes are computed when they are asked for.
    """
    values, of_tokens = [], []
    for row in rows:
        product = nl.ndarray(tuple(row.shape), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=product, data1=row, data2=smooth[0 : row.shape[0], :], op=nl.multiply)
        amax = nl.ndarray((row.shape[0], 1), dtype=nl.float32, buffer=nl.sbuf)
        largest_magnitude(amax, product)
        values.append(product)
        of_tokens.append(TokenScale(amax, exact_factor))
    coded = (_coded(value, tokens, layout) for value, tokens in zip(values, of_tokens, strict=True))
    return coded, [tokens.scale() for tokens in of_tokens]


def _coded(value: Tensor, tokens: TokenScale, layout: CodeLayout) -> Tensor:
    shape = (value.shape[0], layout.nbytes(value.shape[1]))
    codes: Tensor = nl.ndarray(shape, dtype=nl.int8, buffer=nl.sbuf)
    layout.write(codes, value, tokens.factor)
    return codes
