# SPDX-License-Identifier: Apache-2.0
"""What kinds of work a program does, and what each costs on a machine."""

from __future__ import annotations

from collections.abc import Callable

from nkisim.machine import Machine
from nkisim.memory import Access
from nkisim.observe import CostClass, Event
from nkisim.timing.costs.cost import Cost
from nkisim.timing.costs.dma import DMA_WORK, Transfer, transfer
from nkisim.timing.costs.gpsimd import GPSIMD_WORK, gpsimd_cost
from nkisim.timing.costs.scalar import SCALAR_WORK, scalar_cost
from nkisim.timing.costs.sync import SYNC_WORK, sync_cost
from nkisim.timing.costs.tensor import TENSOR_WORK, tensor_cost
from nkisim.timing.costs.vector import VECTOR_WORK, vector_cost

Forms = tuple[tuple[int, ...], tuple[int, ...]]
"""Of what an instruction reads and what it writes, the numbers that `Works.form` gives."""
Formula = Callable[[Event, Machine], Cost | Transfer]

FORMULAS: dict[str, dict[CostClass, Formula]] = {
    "tensor": dict.fromkeys(TENSOR_WORK, tensor_cost),
    "vector": dict.fromkeys(VECTOR_WORK, vector_cost),
    "scalar": dict.fromkeys(SCALAR_WORK, scalar_cost),
    "gpsimd": dict.fromkeys(GPSIMD_WORK, gpsimd_cost),
    "dma": dict.fromkeys(DMA_WORK, transfer),
    "sync": dict.fromkeys(SYNC_WORK, sync_cost),
}
"""By engine and kind of work. A barrier costs the same wherever it is waited for: see `formula`."""


class Works:
    """The different works among the instructions of a program; equal instructions share a number.

    Attributes:
        examples: one event of each.
    """

    def __init__(self) -> None:
        self.examples: list[Event] = []
        self._numbers: dict[object, int] = {}
        self._forms: dict[object, int] = {}
        self._latest: tuple[Machine | None, list[Cost | Transfer]] = (None, [])

    def number(self, event: Event, forms: Forms) -> int:
        """The number of the work of `event`, whose reads and writes have these forms."""
        alike = None if event.alike is None else (event.alike, forms)
        number = self._numbers.get(alike)
        if number is not None:
            return number
        work = event.work
        key = (
            event.traits.cost, event.engine, tuple(event.details.items()), work.elements, work.macs,
            event.indexed_rows, forms,
        )  # fmt: skip
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.examples)
            self.examples.append(event)
        if alike is not None:
            self._numbers[alike] = number
        return number

    def costs(self, machine: Machine) -> list[Cost | Transfer]:
        """The durations of every work on `machine`; of one machine they are computed once in a row."""
        known, costs = self._latest
        if known is not machine or len(costs) != len(self.examples):
            costs = [formula(e.engine, e.traits.cost)(e, machine) for e in self.examples]
            self._latest = (machine, costs)
        return costs

    def form(self, a: Access) -> int:
        """A number for what durations depend on: all but the address, save for the partition."""
        storage = a.storage
        first = a.start // storage.pitch if storage.buffer.is_on_chip else 0
        form = (a.shape, a.strides, a.dtype, storage.buffer, first, a.rows is None)
        return self._forms.setdefault(form, len(self._forms))


def formula(engine: str, work: CostClass) -> Formula:
    """What gives the durations of this kind of work on the engine: a Transfer for what the DMA engines do.

    Raises:
        ValueError: there is no such formula.
    """
    found = sync_cost if work is CostClass.barrier else FORMULAS.get(engine, {}).get(work)
    if found is None:
        raise ValueError(f"no formula gives what {work.name} costs on the {engine} engine")
    return found
