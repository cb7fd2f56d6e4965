# SPDX-License-Identifier: Apache-2.0
"""Stages of the MX numerics: packed elements with block scales, on Trn3."""

from nkimoe.kernels.stages.mx.coded_rows import token_columns, token_rows
from nkimoe.kernels.stages.mx.down_products import down_products
from nkimoe.kernels.stages.mx.gate_up_products import gate_up_products
from nkimoe.kernels.stages.mx.weights import MxWeights

__all__ = ["MxWeights", "down_products", "gate_up_products", "token_columns", "token_rows"]
