"""Stages of the dense (bf16, fp16, fp8) numerics."""

from nkimoe.kernels.stages.dense.down_products import down_products
from nkimoe.kernels.stages.dense.gate_up_products import gate_up_products
from nkimoe.kernels.stages.dense.transpose_tokens import TokenColumns
from nkimoe.kernels.stages.dense.weights import DenseWeights

__all__ = ["DenseWeights", "TokenColumns", "down_products", "gate_up_products"]
