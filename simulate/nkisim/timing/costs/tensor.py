# SPDX-License-Identifier: Apache-2.0
"""The PE: one column of the moving tile a cycle, weights loaded behind the previous matmul."""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.observe import CostClass, Event
from nkisim.timing.costs.cost import Cost
from nkisim.timing.duration import cycles, fixed

_WIDE = ("float32",)
_QUARTER = 32  # rows or columns: the least tile of the PE, and what its position is a multiple of

TENSOR_WORK = (CostClass.matmul, CostClass.transpose)
"""What `tensor_cost` is a formula of."""


def tensor_cost(event: Event, machine: Machine) -> Cost:
    """Cost of a matmul or transpose on the PE.

    A stream of N columns takes max(N, 64) cycles, four times that for fp32 (two for a transpose; twice as long again
    where no more than half of the rows are used), one pass for fp8 double rows and MX. Each pass of fp32 loads weights
    of its own; loads hide behind the matmul before.
    """
    details = event.details
    columns = max(event.work.elements, machine["pe_time.least_columns"])
    keys = ["pe_time.least_columns"]
    passes, result = 1.0, "pe_time.result"
    if event.reads and str(event.reads[0].dtype) in _WIDE:
        key = "pe_time.transpose_fp32" if details.get("transpose") else "pe_time.fp32_passes"
        passes = machine.number(key)
        keys.append(key)
        if not details.get("transpose"):
            result = "pe_time.result_fp32"
            if event.reads[0].shape[0] <= machine["pe.rows"] // 2:
                passes *= machine.number("pe_time.short_k_fp32")
                keys.append("pe_time.short_k_fp32")
        if details.get("onezero"):
            passes /= machine.number("pe_time.onezero_gain")
            keys.append("pe_time.onezero_gain")
    stream = cycles(machine, columns * passes, "pe", *keys)
    overhead = cycles(machine, machine.number("pe_time.overhead") * max(1.0, passes / 2), "pe", "pe_time.overhead")
    busy = stream.plus(overhead)
    load = fixed(machine, "pe_time.load").times(max(1.0, passes / 2))
    return Cost(busy, stream.plus(fixed(machine, result)), load, _tile(event, machine), _counted(event, machine))


def _counted(event: Event, machine: Machine) -> float:
    """Of its work, what a window of the PE's clock counts: that of rows without data, or not."""
    rows = event.reads[0].shape[0] if event.reads else machine["pe.rows"]
    idle = 1 - min(rows / machine["pe.rows"], 1.0)
    return 1 - machine.number("pe_time.idle_rows") * idle


def _tile(event: Event, machine: Machine) -> tuple[int, int, int, int] | None:
    """First row and rows, first column and columns of the part that the matmul uses, in quarters; None for all."""
    size = event.details.get("tile_size")
    if not size or size == (machine["pe.rows"], machine["pe.stationary_columns"]):
        return None
    row, column = event.details["tile_position"]
    return row // _QUARTER, size[0] // _QUARTER, column // _QUARTER, size[1] // _QUARTER
