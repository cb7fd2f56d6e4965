# SPDX-License-Identifier: Apache-2.0
"""Stages of the dense numerics: bf16, fp16 and fp8, and int8 weights with activations that are not quantised."""

from nkimoe.kernels.stages.dense.token_columns import token_columns
from nkimoe.kernels.stages.dense.weights import DenseWeights

__all__ = ["DenseWeights", "token_columns"]
