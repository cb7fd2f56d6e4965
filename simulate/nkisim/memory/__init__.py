# SPDX-License-Identifier: Apache-2.0
"""Tensors, the storage behind them, and the one door through which instructions touch it."""

from nkisim.memory.access import Access
from nkisim.memory.block import allocate, outline_host_array, wrap_host_array
from nkisim.memory.columns import grouped
from nkisim.memory.door import (
    Region,
    add,
    copied,
    first_unwritten,
    held,
    is_computed,
    is_its_own,
    lowest_state,
    mark,
    own_states,
    read,
    resolve,
    write,
)
from nkisim.memory.indirection import Columns
from nkisim.memory.no_array import described
from nkisim.memory.regions import MemoryRegion
from nkisim.memory.registers import RegisterValue
from nkisim.memory.shadow import MATMUL, NEVER, NOT_COMPUTED, WRITTEN, ZEROED
from nkisim.memory.shown import peek
from nkisim.memory.storage import Storage
from nkisim.memory.tensor import DynamicSlice, NkiTensor

__all__ = [
    "MATMUL",
    "NEVER",
    "NOT_COMPUTED",
    "WRITTEN",
    "ZEROED",
    "Access",
    "Columns",
    "DynamicSlice",
    "MemoryRegion",
    "NkiTensor",
    "Region",
    "RegisterValue",
    "Storage",
    "add",
    "allocate",
    "copied",
    "described",
    "first_unwritten",
    "grouped",
    "held",
    "is_computed",
    "is_its_own",
    "lowest_state",
    "mark",
    "outline_host_array",
    "own_states",
    "peek",
    "read",
    "resolve",
    "wrap_host_array",
    "write",
]
