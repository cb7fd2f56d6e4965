# SPDX-License-Identifier: Apache-2.0
"""Stages of the int8 numerics: codes of weights and of activations, a scale a token, sums exact as of integers."""

from nkimoe.kernels.stages.int8.code_rows import token_rows
from nkimoe.kernels.stages.int8.products import down_products, gate_up_products
from nkimoe.kernels.stages.int8.token_codes import CodeColumns
from nkimoe.kernels.stages.int8.weights import Int8Weights

__all__ = ["CodeColumns", "Int8Weights", "down_products", "gate_up_products", "token_rows"]
