# SPDX-License-Identifier: Apache-2.0
"""local_gather: each GpSimd core gathers from its 16 partitions with one list of indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError, ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.gather_indices import check_indices
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation

_GROUP = 16
_MOST = 4096


@instruction(cost=CostClass.gather, on=Engine.gpsimd)
def local_gather(
    dst: NkiTensor,
    src_buffer: NkiTensor,
    index: NkiTensor,
    num_elem_per_idx: int = 1,
    num_valid_indices: int | None = None,
    name: str | None = None,
) -> Operation:
    """dst[p] = src_buffer[p] at the indices of p's group of 16 partitions, num_elem_per_idx elements from each.

    The indices of a group run down its partitions first. They are element offsets, also where several are gathered.

    index is uint16. num_valid_indices are used of a group's, counted in that order; None: all.

    ```python
    x, index = nl.ones((128, 512), nl.float32), nl.zeros((128, 4), nl.uint16)
    picked = nl.ndarray((128, 64), nl.float32, buffer=nl.sbuf)  # 16 partitions with 4 indices each
    nisa.local_gather(dst=picked, src_buffer=x, index=index)
    ```
    """
    checks.in_sbuf(("dst", dst), ("src_buffer", src_buffer), ("index", index))
    checks.same_dtype("dst", dst, "src_buffer", src_buffer)
    checks.dtype_in("index", index, ("uint16",))
    checks.writable("dst", dst)
    rows, each = src_buffer.shape[0], num_elem_per_idx
    if index.shape[0] != rows or dst.shape[0] != rows or rows % _GROUP:
        raise ShapeError(
            "dst, src_buffer and index have the same partitions, a multiple of 16",
            f"{dst.shape}, {src_buffer.shape} and {index.shape}",
            "Pad them to whole groups of 16.",
        )
    if each not in (1, 2, 4, 8, 16, 32):
        raise ArgumentError("num_elem_per_idx is 1, 2, 4, 8, 16 or 32", f"{each!r}", "Gather in several steps.")
    total = checks.free_size(index) * _GROUP
    valid = total if num_valid_indices is None else num_valid_indices
    if not 1 <= valid <= min(total, _MOST):
        raise ShapeError(
            f"a GpSimd core gathers 1 to {min(total, _MOST)} indices of its {total}", f"{valid}", "Split the gather."
        )
    if checks.free_size(dst) != valid * each:
        raise ShapeError(f"dst holds {valid} x {each} elements a partition", f"{dst.shape}", "Fix dst's shape.")
    count = checks.free_size(src_buffer)

    def compute(values: Any, indices: Any) -> Any:
        groups = indices.reshape(rows // _GROUP, _GROUP, -1).transpose(0, 2, 1).reshape(rows // _GROUP, -1)
        where = groups[:, :valid, None].astype(np.int64) + np.arange(each)
        where = where.reshape(len(groups), -1)
        check_indices(where, count)
        return np.take_along_axis(values.reshape(rows, -1), np.repeat(where, _GROUP, axis=0), axis=1)

    details = {"indices": valid, "elements_per_index": each}
    return Operation(Engine.gpsimd, (src_buffer, index), (dst,), compute, Work(checks.free_size(dst)), details, name)
