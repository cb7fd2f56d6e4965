# SPDX-License-Identifier: Apache-2.0
"""The names of `neuronxcc.nki.isa`."""

from nkisim.legacy.isa.elementwise import (
    activation,
    activation_reduce,
    affine_select,
    dropout,
    memset,
    range_select,
    reciprocal,
    scalar_tensor_tensor,
    select_reduce,
    tensor_copy,
    tensor_copy_predicated,
    tensor_scalar,
    tensor_scalar_cumulative,
    tensor_scalar_reduce,
    tensor_tensor,
    tensor_tensor_scan,
)
from nkisim.legacy.isa.matrix import (
    bn_aggr,
    bn_stats,
    local_gather,
    max8,
    nc_find_index8,
    nc_match_replace8,
    nc_matmul,
    nc_stream_shuffle,
    nc_transpose,
    sequence_bounds,
    tensor_partition_reduce,
    tensor_reduce,
)
from nkisim.legacy.isa.operands import from_indices as iota
from nkisim.legacy.isa.transfer import dma_copy, dma_transpose, tensor_copy_dynamic_dst, tensor_copy_dynamic_src
from nkisim.nki.isa import get_nc_version, nc_version
from nkisim.operations.enums import dge_mode, engine, oob_mode, reduce_cmd

tensor_engine, vector_engine, scalar_engine = engine.tensor, engine.vector, engine.scalar
gpsimd_engine, dma_engine, unknown_engine = engine.gpsimd, engine.dma, engine.unknown

__all__ = [
    "activation", "activation_reduce", "affine_select", "bn_aggr", "bn_stats", "dge_mode", "dma_copy", "dma_engine",
    "dma_transpose", "dropout", "engine", "get_nc_version", "gpsimd_engine", "iota", "local_gather", "max8", "memset",
    "nc_find_index8", "nc_match_replace8", "nc_matmul", "nc_stream_shuffle", "nc_transpose", "nc_version", "oob_mode",
    "range_select", "reciprocal", "reduce_cmd", "scalar_engine", "scalar_tensor_tensor", "select_reduce",
    "sequence_bounds", "tensor_copy", "tensor_copy_dynamic_dst", "tensor_copy_dynamic_src", "tensor_copy_predicated",
    "tensor_engine", "tensor_partition_reduce", "tensor_reduce", "tensor_scalar",
    "tensor_scalar_cumulative", "tensor_scalar_reduce",
    "tensor_tensor", "tensor_tensor_scan", "unknown_engine", "vector_engine",
]  # fmt: skip
