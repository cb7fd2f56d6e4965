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
        self._operands: dict[object, int] = {}
        self._accesses: dict[Access, int] = {}
        self._latest: tuple[Machine | None, list[Cost | Transfer]] = (None, [])

    def number(self, event: Event) -> int:
        """The number of the work of `event`."""
        key = self._key(event)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.examples)
            self.examples.append(event)
        return number

    def costs(self, machine: Machine) -> list[Cost | Transfer]:
        """The durations of every work on `machine`; of one machine they are computed once in a row."""
        known, costs = self._latest
        if known is not machine or len(costs) != len(self.examples):
            costs = [formula(e.engine, e.traits.cost)(e, machine) for e in self.examples]
            self._latest = (machine, costs)
        return costs

    def _key(self, event: Event) -> object:
        return (
            event.traits.cost, event.engine, tuple(event.details.items()), event.work.elements, event.work.macs,
            event.indexed_rows,
            tuple([self._operand(a) for a in event.reads]), tuple([self._operand(a) for a in event.writes]),
        )  # fmt: skip

    def _operand(self, a: Access) -> int:
        """A number for what durations depend on: all but the address, save for the partition.

        Kernels use the same views again and again, whose accesses are the same objects; those of gathers never are.
        """
        number = self._accesses.get(a)
        if number is None:
            storage = a.storage
            first = a.start // storage.pitch if storage.buffer.is_on_chip else 0
            form = (a.shape, a.strides, a.dtype, storage.buffer, first, a.rows is None)
            number = self._operands.setdefault(form, len(self._operands))
            if a.rows is None:
                self._accesses[a] = number
        return number


def formula(engine: str, work: CostClass) -> Formula:
    """What gives the durations of this kind of work on the engine: a Transfer for what the DMA engines do.

    Raises:
        ValueError: there is no such formula.
    """
    found = sync_cost if work is CostClass.barrier else FORMULAS.get(engine, {}).get(work)
    if found is None:
        raise ValueError(f"no formula gives what {work.name} costs on the {engine} engine")
    return found
