# SPDX-License-Identifier: Apache-2.0
"""The names of `nki.isa`."""

from nkisim.compat import register_alloc, tensor_copy
from nkisim.errors import NkiValidationError
from nkisim.execution.registers import VirtualRegister
from nkisim.execution.scalars import NkiScalar
from nkisim.instructions.activate2 import activate2
from nkisim.instructions.activation import activation
from nkisim.instructions.activation_reduce import activation_reduce
from nkisim.instructions.affine_select import affine_select
from nkisim.instructions.bn_aggr import bn_aggr
from nkisim.instructions.bn_stats import bn_stats
from nkisim.instructions.core_barrier import core_barrier
from nkisim.instructions.dma_compute import dma_compute
from nkisim.instructions.dma_copy import dma_copy
from nkisim.instructions.dma_transpose import dma_transpose
from nkisim.instructions.dropout import dropout
from nkisim.instructions.exponential import exponential
from nkisim.instructions.iota import iota
from nkisim.instructions.local_gather import local_gather
from nkisim.instructions.max8 import max8
from nkisim.instructions.memset import memset
from nkisim.instructions.nc_find_index8 import nc_find_index8
from nkisim.instructions.nc_match_replace8 import nc_match_replace8
from nkisim.instructions.nc_matmul import nc_matmul
from nkisim.instructions.nc_matmul_mx import nc_matmul_mx
from nkisim.instructions.nc_n_gather import nc_n_gather
from nkisim.instructions.nc_stream_shuffle import nc_stream_shuffle
from nkisim.instructions.nc_transpose import nc_transpose
from nkisim.instructions.nonzero_with_count import nonzero_with_count
from nkisim.instructions.quantize_mx import quantize_mx
from nkisim.instructions.rand2 import rand2
from nkisim.instructions.rand_get_state import rand_get_state
from nkisim.instructions.rand_set_state import rand_set_state
from nkisim.instructions.range_select import range_select
from nkisim.instructions.reciprocal import reciprocal
from nkisim.instructions.register_load import register_load
from nkisim.instructions.register_move import register_move
from nkisim.instructions.register_store import register_store
from nkisim.instructions.rng import rng
from nkisim.instructions.scalar_tensor_tensor import scalar_tensor_tensor
from nkisim.instructions.select_reduce import select_reduce
from nkisim.instructions.sendrecv import sendrecv
from nkisim.instructions.sequence_bounds import sequence_bounds
from nkisim.instructions.set_rng_seed import set_rng_seed
from nkisim.instructions.tensor_copy_predicated import tensor_copy_predicated
from nkisim.instructions.tensor_partition_reduce import tensor_partition_reduce
from nkisim.instructions.tensor_reduce import tensor_reduce
from nkisim.instructions.tensor_scalar import tensor_scalar
from nkisim.instructions.tensor_scalar_cumulative import tensor_scalar_cumulative
from nkisim.instructions.tensor_scalar_reduce import tensor_scalar_reduce
from nkisim.instructions.tensor_tensor import tensor_tensor
from nkisim.instructions.tensor_tensor_scan import tensor_tensor_scan
from nkisim.instructions.topk import topk
from nkisim.language.scalars import scalar_load, scalar_store
from nkisim.language.target import get_nc_sub_version, get_nc_version
from nkisim.nki._names import missing_names as _missing_names
from nkisim.operations.calls import explain_all as _explain_all
from nkisim.operations.enums import (
    dge_mode,
    dma_engine,
    engine,
    matmul_perf_mode,
    nc_version,
    oob_mode,
    reduce_cmd,
)
from nkisim.operations.operation import NkiInstruction

tensor_engine = engine.tensor
vector_engine = engine.vector
scalar_engine = engine.scalar
gpsimd_engine = engine.gpsimd
unknown_engine = engine.unknown

__all__ = [
    "NkiInstruction", "NkiValidationError", "VirtualRegister", "activate2", "activation", "activation_reduce",
    "affine_select", "bn_aggr", "bn_stats", "core_barrier", "dge_mode", "dma_compute", "dma_copy", "dma_engine",
    "dma_transpose", "dropout", "engine", "exponential", "get_nc_sub_version", "get_nc_version", "gpsimd_engine",
    "iota", "local_gather", "matmul_perf_mode", "max8", "memset", "nc_find_index8", "nc_match_replace8",
    "nc_matmul", "nc_matmul_mx", "nc_n_gather", "nc_stream_shuffle", "nc_transpose", "nc_version",
    "nonzero_with_count", "oob_mode", "quantize_mx", "rand2", "rand_get_state", "rand_set_state", "range_select",
    "reciprocal", "reduce_cmd", "register_alloc", "register_load", "register_move", "register_store", "rng",
    "scalar_engine", "scalar_tensor_tensor", "select_reduce", "sendrecv", "sequence_bounds", "set_rng_seed",
    "tensor_copy", "tensor_copy_predicated", "tensor_engine", "tensor_partition_reduce", "tensor_reduce",
    "tensor_scalar", "tensor_scalar_cumulative", "tensor_scalar_reduce", "tensor_tensor", "tensor_tensor_scan",
    "topk", "unknown_engine", "vector_engine",
]  # fmt: skip

__all__ += ["NkiScalar", "scalar_load", "scalar_store"]
_explain_all("nisa", globals())
__getattr__ = _missing_names("nki.isa")
