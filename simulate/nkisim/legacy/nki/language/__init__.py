# SPDX-License-Identifier: Apache-2.0
"""The names of `neuronxcc.nki.language`."""

from nkisim.dtypes import DTYPES as _DTYPES
from nkisim.language.allocation import PartitionSize as par_dim
from nkisim.language.program import no_reorder
from nkisim.language.tile_size import tile_size
from nkisim.legacy.kernel import nc, spmd_dim
from nkisim.legacy.language import functions as _functions
from nkisim.legacy.language import python_operators as _python_operators  # noqa: F401 - gives tiles their operators
from nkisim.legacy.language.creation import (
    arange,
    ds,
    empty_like,
    full,
    mgrid,
    ndarray,
    ones,
    shared_constant,
    shared_identity_matrix,
    zeros,
    zeros_like,
)
from nkisim.legacy.language.elementwise import FUNCTIONS as _FUNCTIONS
from nkisim.legacy.loops import affine_range, finfo, fp32, sequential_range, static_range
from nkisim.legacy.programs import num_programs, program_id, program_ndim
from nkisim.memory import MemoryRegion as _MemoryRegion

sbuf, psum = _MemoryRegion.sbuf, _MemoryRegion.psum
hbm = private_hbm = _MemoryRegion.private_hbm
shared_hbm = _MemoryRegion.shared_hbm
bool_ = _DTYPES["bool"]

_NAMED = (
    "all", "atomic_rmw", "broadcast_to", "copy", "device_print", "dropout", "expand_dims", "gather_flattened", "load",
    "load_transpose2d", "loop_reduce", "matmul", "max", "mean", "min", "prod", "rand", "random_seed", "rms_norm",
    "softmax", "static_cast", "store", "sum", "transpose", "var", "where",
)  # fmt: skip

globals().update({name: dtype for name, dtype in _DTYPES.items() if name != "bool"})
globals().update({name: function for name, function in _FUNCTIONS.items() if name != "copy"})
globals().update({name: getattr(_functions, name) for name in _NAMED})

__all__ = [
    *(name for name in _DTYPES if name != "bool"), *(name for name in _FUNCTIONS if name != "copy"), *_NAMED,
    "affine_range", "arange", "bool_", "ds", "empty_like", "finfo", "fp32", "full", "hbm", "mgrid", "nc", "ndarray",
    "no_reorder", "num_programs", "ones", "par_dim", "private_hbm", "program_id", "program_ndim", "psum", "sbuf",
    "sequential_range", "shared_constant", "shared_hbm", "shared_identity_matrix", "spmd_dim", "static_range",
    "tile_size", "zeros", "zeros_like",
]  # fmt: skip
