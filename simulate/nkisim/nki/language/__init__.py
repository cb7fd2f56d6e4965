# SPDX-License-Identifier: Apache-2.0
"""The names of `nki.language`."""

from nkisim.compat import affine_range, dynamic_range, sequential_range, static_range
from nkisim.dtypes import DTYPES as _DTYPES
from nkisim.dtypes import DType
from nkisim.language.allocation import (
    full,
    ndarray,
    ones,
    shared_constant,
    shared_identity_matrix,
    zeros,
    zeros_like,
)
from nkisim.language.functions import FUNCTIONS as _FUNCTIONS
from nkisim.language.grid_allocation import alloc_blocks, alloc_tiles, empty_like
from nkisim.language.grids import NkiBlockGrid, NkiGrid, NkiTileGrid, blocks, tiles
from nkisim.language.loops import fori_loop, while_loop
from nkisim.language.nki_object import NKIObject
from nkisim.language.program import (
    device_print,
    no_reorder,
    num_programs,
    program_id,
    program_ndim,
)
from nkisim.language.tile_size import tile_size
from nkisim.memory import DynamicSlice as ds
from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.nki._names import missing_names as _missing_names
from nkisim.operations.calls import explain_all as _explain_all
from nkisim.operations.operators import OPERATORS as _OPERATORS

sbuf = MemoryRegion.sbuf
psum = MemoryRegion.psum
hbm = MemoryRegion.private_hbm
private_hbm = MemoryRegion.private_hbm
shared_hbm = MemoryRegion.shared_hbm

bool_ = _DTYPES["bool"]
globals().update({name: dtype for name, dtype in _DTYPES.items() if name != "bool"})
globals().update(_OPERATORS)
globals().update(_FUNCTIONS)


def is_hbm(buffer: MemoryRegion) -> bool:
    """Whether `buffer` is any HBM."""
    return buffer.is_hbm


def is_on_chip(buffer: MemoryRegion) -> bool:
    """Whether `buffer` is SBUF or PSUM."""
    return buffer.is_on_chip


def is_psum(buffer: MemoryRegion) -> bool:
    """Whether `buffer` is PSUM."""
    return buffer is MemoryRegion.psum


def is_sbuf(buffer: MemoryRegion) -> bool:
    """Whether `buffer` is SBUF."""
    return buffer is MemoryRegion.sbuf


__all__ = [
    *(name for name in _DTYPES if name != "bool"), *_OPERATORS, *_FUNCTIONS, "DType", "MemoryRegion", "NKIObject",
    "NkiBlockGrid", "NkiGrid", "NkiTensor", "NkiTileGrid", "affine_range", "alloc_blocks", "alloc_tiles", "blocks",
    "bool_", "device_print", "ds", "dynamic_range", "empty_like", "fori_loop", "full", "hbm", "is_hbm", "is_on_chip",
    "is_psum", "is_sbuf", "ndarray", "no_reorder", "num_programs", "ones", "private_hbm", "program_id",
    "program_ndim", "psum", "sbuf", "sequential_range", "shared_constant", "shared_hbm", "shared_identity_matrix",
    "static_range", "tile_size", "tiles", "while_loop", "zeros", "zeros_like",
]  # fmt: skip

_explain_all("nl", globals())
__getattr__ = _missing_names("nki.language")
