# SPDX-License-Identifier: Apache-2.0
"""The Vector Engine: elements a lane over a rate that depends on types, memories and contiguity."""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.memory import Access, MemoryRegion
from nkisim.observe import CostClass, Event
from nkisim.timing.costs.cost import Cost
from nkisim.timing.duration import Duration, cycles, fixed

_FAST = (CostClass.copy, CostClass.fill, CostClass.elementwise)
_TWO_INPUTS = CostClass.two_input_elementwise
_CYCLES = {
    CostClass.two_input_scan: "dve_cycles.tensor_tensor_scan",
    CostClass.reciprocal: "dve_cycles.reciprocal",
    CostClass.statistics_merge: "dve_cycles.bn_aggr",
    CostClass.exponential: "dve_cycles.exponential",
    CostClass.mx_quantization: "dve_cycles.quantize_mx",
    CostClass.random_range: "dve_cycles.rand2",
}
"""Work that takes more (or less) than a cycle an element whatever its operands."""

_ACCUMULATING = (CostClass.elementwise_reduction, CostClass.selection, CostClass.exponential)

VECTOR_WORK = (
    *_FAST, _TWO_INPUTS, *_CYCLES, CostClass.elementwise_reduction, CostClass.reduction, CostClass.scan,
    CostClass.statistics, CostClass.selection, CostClass.search, CostClass.shuffle, CostClass.transpose,
    CostClass.random, CostClass.generator_state,
)  # fmt: skip
"""What `vector_cost` is a formula of."""


def vector_cost(event: Event, machine: Machine) -> Cost:
    """Cost on the Vector Engine.

    The engine is free again N/r cycles and a fixed number more after the start; the result is there N/r cycles and
    about 160 ns after it. r is the rate of the fast modes, where their conditions hold.
    """
    per_element, key = _cycles_per_element(event, machine)
    stream = cycles(machine, event.work.elements * per_element, "dve", key)
    fixed_part = "dve_time.overhead_elementwise" if event.traits.cost is CostClass.elementwise else "dve_time.overhead"
    overhead = cycles(machine, machine.number(fixed_part), "dve", fixed_part)
    readout = _readout(event, machine)
    busy = stream.plus(overhead).plus(readout)
    return Cost(busy, stream.plus(fixed(machine, "dve_time.result")).plus(readout))


def _readout(event: Event, machine: Machine) -> Duration:
    """What reads the accumulators, where a result of each partition leaves them for a tile."""
    if event.traits.cost not in _ACCUMULATING or len(event.writes) < 2:
        return Duration()
    return cycles(machine, machine.number("dve_cycles.reduce_readout"), "dve", "dve_cycles.reduce_readout")


def _cycles_per_element(event: Event, machine: Machine) -> tuple[float, str]:
    key = _slow_key(event)
    if key is not None:
        return machine.number(key), key
    key = _rate_key(event)
    return 1.0 / machine.number(key), key


def _slow_key(event: Event) -> str | None:
    """The cycles an element where they are given, not a rate: `_CYCLES`, and two wide inputs."""
    if event.traits.cost in _CYCLES:
        return _CYCLES[event.traits.cost]
    if event.traits.cost is _TWO_INPUTS:
        tiles = _tiles(event)
        inputs = [t for t in tiles if t not in event.writes]
        if len(inputs) > 1 and all(_sbuf(t) for t in inputs) and not all(_short(t) for t in tiles):
            return "dve_cycles.two_inputs_sbuf"
    return None


def _rate_key(event: Event) -> str:
    tiles = _tiles(event)
    outside = sum(not _sbuf(t) for t in tiles)
    if event.traits.cost in _FAST:
        if all(_short(t) for t in tiles):
            if outside == 0:
                return "dve_rate.copy_16_sbuf" if all(_contiguous(t) for t in tiles) else "dve_rate.copy_16"
            if outside == 1 and all(_contiguous(t) for t in tiles):
                return "dve_rate.copy_16"
        elif outside == 0:
            return "dve_rate.copy_32_sbuf"
    if event.traits.cost is _TWO_INPUTS and outside == 0 and all(_short(t) for t in tiles):
        return "dve_rate.two_inputs_16"
    return "dve_rate.one"


def _tiles(event: Event) -> list[Access]:
    """Operands with as many elements a partition as the instruction has results: not the per-partition scalars."""
    return [t for t in (*event.reads, *event.writes) if t.row_size > 1 or event.work.elements <= 1]


def _sbuf(t: Access) -> bool:
    return t.storage.buffer is MemoryRegion.sbuf


def _short(t: Access) -> bool:
    return t.dtype.itemsize == 2


def _contiguous(t: Access) -> bool:
    """Whether neighbours along the innermost dimension that has more than one element are neighbours in memory."""
    inner = next((s for s, n in zip(reversed(t.strides), reversed(t.shape), strict=True) if n > 1), t.dtype.itemsize)
    return inner == t.dtype.itemsize
