# SPDX-License-Identifier: Apache-2.0
"""Both projections on codes; what their scales multiply follows."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages import down_products as tiled_down
from nkimoe.kernels.stages import gate_up_products as tiled_gate_up
from nkimoe.kernels.stages.int8.codes import CodedColumns, CodedRows
from nkimoe.kernels.stages.int8.weights import Int8Weights
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.products import DownProducts, GateUpProducts
from nkimoe.kernels.tensor import Tensor


def gate_up_products(
    tokens: CodedColumns, weights: Int8Weights, now: Part, following: Part | None, affinity_columns: Tensor | None
) -> GateUpProducts:
    """Those of each tile of columns of I, times the scale of each token.

    Args:
        affinity_columns: [128, tokens] fp32 that multiplies both projections before their bias, or None.
    """
    factors = tokens.columns
    if affinity_columns is not None:
        factors = nl.ndarray(tuple(tokens.columns.shape), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=factors, data1=tokens.columns, data2=affinity_columns, op=nl.multiply)
    yield from tiled_gate_up.gate_up_products(tokens.data, weights, now, following, factors)


def down_products(
    intermediate: CodedRows, weights: Int8Weights, now: Part, following: Part | None, bias_factors: list[Tensor]
) -> DownProducts:
    """All columns of H of every token tile, each with the scale of its tokens.

    Args:
        bias_factors: for each token tile, [1, 128], what the bias is multiplied by.
    """
    for product in tiled_down.down_products(intermediate.data, weights, now, following, bias_factors):
        yield product._replace(scale=intermediate.scales[product.tile])
