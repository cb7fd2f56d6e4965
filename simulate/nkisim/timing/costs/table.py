"""What kinds of work a program does, and what each costs on a machine."""

from __future__ import annotations

from collections.abc import Callable

from nkisim.machine import Machine
from nkisim.memory import Access
from nkisim.observe import Event
from nkisim.timing.costs.cost import Cost
from nkisim.timing.costs.dma import Transfer, transfer
from nkisim.timing.costs.gpsimd import gpsimd_cost
from nkisim.timing.costs.scalar import scalar_cost
from nkisim.timing.costs.sync import sync_cost
from nkisim.timing.costs.tensor import tensor_cost
from nkisim.timing.costs.vector import vector_cost

_ENGINES: dict[str, Callable[[Event, Machine], Cost]] = {
    "tensor": tensor_cost,
    "vector": vector_cost,
    "scalar": scalar_cost,
    "gpsimd": gpsimd_cost,
    "sync": sync_cost,
}


class Works:
    """The different works among the instructions of a program; equal instructions share a number.

    Attributes:
        examples: one event of each.
    """

    def __init__(self) -> None:
        self.examples: list[Event] = []
        self._numbers: dict[object, int] = {}

    def number(self, event: Event) -> int:
        """The number of the work of `event`."""
        key = _key(event)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.examples)
            self.examples.append(event)
        return number

    def costs(self, machine: Machine) -> list[Cost | Transfer]:
        """The durations of every work on `machine`."""
        return [cost(event, machine) for event in self.examples]


def cost(event: Event, machine: Machine) -> Cost | Transfer:
    """The durations of one instruction: a Transfer for what the DMA engines do."""
    if "barrier" in event.details:
        return sync_cost(event, machine)
    if event.engine == "dma":
        return transfer(event, machine)
    return _ENGINES[event.engine](event, machine)


def _key(event: Event) -> object:
    return (
        event.opcode, event.engine, tuple(event.details.values()), event.work.elements, event.work.macs,
        tuple([_operand(a) for a in event.reads]), tuple([_operand(a) for a in event.writes]),
    )  # fmt: skip


def _operand(a: Access) -> object:
    """What durations depend on: all but the address, save for the partition."""
    storage = a.storage
    first = a.start // storage.pitch if storage.buffer.is_on_chip else 0
    return a.shape, a.strides, str(a.dtype), storage.buffer, first, a.rows is None
