"""The names of `nki.isa`."""

from nkisim.errors import NkiValidationError
from nkisim.execution.registers import VirtualRegister
from nkisim.instructions.activation import activation
from nkisim.instructions.core_barrier import core_barrier
from nkisim.instructions.dma_compute import dma_compute
from nkisim.instructions.dma_copy import dma_copy
from nkisim.instructions.dma_transpose import dma_transpose
from nkisim.instructions.enums import (
    dge_mode,
    dma_engine,
    engine,
    matmul_perf_mode,
    nc_version,
    oob_mode,
    reduce_cmd,
)
from nkisim.instructions.iota import iota
from nkisim.instructions.memset import memset
from nkisim.instructions.nc_matmul import nc_matmul
from nkisim.instructions.nc_stream_shuffle import nc_stream_shuffle
from nkisim.instructions.nc_transpose import nc_transpose
from nkisim.instructions.operation import NkiInstruction
from nkisim.instructions.refused import refused as _refused
from nkisim.instructions.registers import register_alloc, register_load, register_move, register_store
from nkisim.instructions.scalar_tensor_tensor import scalar_tensor_tensor
from nkisim.instructions.sendrecv import sendrecv
from nkisim.instructions.target import get_nc_sub_version, get_nc_version
from nkisim.instructions.tensor_copy import tensor_copy
from nkisim.instructions.tensor_copy_predicated import tensor_copy_predicated
from nkisim.instructions.tensor_reduce import tensor_reduce
from nkisim.instructions.tensor_scalar import tensor_scalar
from nkisim.instructions.tensor_tensor import tensor_tensor

nc_matmul_mx = _refused("nc_matmul_mx")
quantize_mx = _refused("quantize_mx")

tensor_engine = engine.tensor
vector_engine = engine.vector
scalar_engine = engine.scalar
gpsimd_engine = engine.gpsimd
unknown_engine = engine.unknown

__all__ = [
    "NkiInstruction", "NkiValidationError", "VirtualRegister", "activation", "core_barrier", "dge_mode", "dma_compute",
    "dma_copy", "dma_engine", "dma_transpose", "engine", "get_nc_sub_version", "get_nc_version", "gpsimd_engine",
    "iota", "matmul_perf_mode", "memset", "nc_matmul", "nc_matmul_mx", "nc_stream_shuffle", "nc_transpose",
    "nc_version", "oob_mode", "quantize_mx", "reduce_cmd", "register_alloc", "register_load", "register_move",
    "register_store", "scalar_engine", "scalar_tensor_tensor", "sendrecv", "tensor_copy", "tensor_copy_predicated",
    "tensor_engine", "tensor_reduce", "tensor_scalar", "tensor_tensor", "unknown_engine", "vector_engine",
]  # fmt: skip
