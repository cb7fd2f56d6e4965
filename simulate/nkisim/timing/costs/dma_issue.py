# SPDX-License-Identifier: Apache-2.0
"""What starting a transfer costs the queue that triggers it.

Static descriptors lie in memory. Hardware makes descriptors of patterns; for whatever has an index a row (gathers and
scatters), software on the GpSimd Engine does, a descriptor at a time, and it looks at every row, also at those that
turn out to be out of bounds. A runtime address of a whole transfer costs its loads and additions first.
"""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.memory import Access
from nkisim.observe import CostClass, Event
from nkisim.timing.costs.runs import row_run
from nkisim.timing.duration import Duration, fixed


def issue_cost(event: Event, descriptors: int, machine: Machine) -> Duration:
    """How long the queue is busy.

    Args:
        descriptors: of the transfer, if its pattern is static.
    """
    mode = event.details.get("dge", "none")
    if mode not in ("hwdge", "swdge"):
        return fixed(machine, "dma.issue_static")
    issue = fixed(machine, f"dma.issue_{mode}")
    if event.indexed_rows:
        return issue.plus(_indexed(event, event.indexed_rows, machine))
    if mode == "swdge":
        made = fixed(machine, "dma.swdge_run").times(descriptors)
        issue = made if made.ns > issue.ns else issue
    return issue if event.indexed_rows is None else issue.plus(fixed(machine, "dma.dynamic_address"))


def start_cost(event: Event, machine: Machine) -> Duration:
    """From the end of the issue to the first byte."""
    mode = event.details.get("dge", "none")
    return fixed(machine, f"dma.start_{mode}" if mode in ("hwdge", "swdge") else "dma.start")


def indexed_issue(
    machine: Machine, rows: float, descriptors: float, skipped: float, each: str = "dma.indexed_descriptor"
) -> Duration:
    """Of the descriptors that software makes, `descriptors` for each of `rows`, and of its look at those it skips.

    Args:
        each: the quantity that a descriptor takes.
    """
    made = fixed(machine, each).times(rows * descriptors)
    return made.plus(fixed(machine, "dma.skipped_row").times(skipped))


def _indexed(event: Event, named: int, machine: Machine) -> Duration:
    """Descriptors of a gather or scatter of `named` rows."""
    rows = _in_hbm(event.writes) or _in_hbm(event.reads)
    if rows is None or not event.writes:
        return fixed(machine, "dma.skipped_row").times(named)
    adds = event.traits.cost is CostClass.accumulating_transfer and rows in event.writes
    each = "dma.accumulated_descriptor" if adds else "dma.indexed_descriptor"
    skipped = max(0, named - rows.shape[0])
    return indexed_issue(machine, rows.shape[0], _descriptors_of_a_row(rows, machine), skipped, each)


def _in_hbm(accesses: tuple[Access, ...]) -> Access | None:
    """The side whose rows are named; where rows are skipped, the other side has the same ones."""
    return next((a for a in accesses if a.rows is not None and not a.storage.buffer.is_on_chip), None)


def _descriptors_of_a_row(rows: Access, machine: Machine) -> int:
    """A run of a row needs a descriptor, and a long one several."""
    nbytes = rows.row_size * rows.dtype.itemsize
    run = min(nbytes, row_run(rows), machine["dma.indexed_bytes"]) or 1
    return -(-nbytes // run)
