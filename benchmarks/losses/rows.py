"""One row: the fastest form of a layer, its roofline, and what it loses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from comparison.measure import CORES, announced, fastest
from comparison.variants import VariantCase
from shapes import LayerShape

from nkisim.machine import Machine, load_machine
from nkisim.timing import timeline
from nkisim.timing.program import Program

FREE = 1000.0
"""Times as fast: a kind of work that takes no time."""
WORTH_NAMING = 0.05
"""Of the latency."""
KINDS: Mapping[str, Mapping[str, float]] = {
    "rows described on GpSimd": {
        f"dma.{name}": 1 / FREE
        for name in ("indexed_descriptor", "accumulated_descriptor", "skipped_row", "swdge_run", "dynamic_address")
    },
    "transfers started": {f"dma.{name}": 1 / FREE for name in ("issue_static", "issue_hwdge", "issue_swdge")},
    "bytes moved": {"hbm": FREE, "dma": FREE, "dma.descriptor": 1 / FREE, "dma.least": 1 / FREE},
    "Tensor Engine": {"pe_clock": FREE},
    "Vector Engine": {"dve_clock": FREE},
    "Scalar Engine": {"act_clock": FREE},
    "loop turns": {f"sync.{name}": 1 / FREE for name in ("loop_turn", "loop_entry", "loop_exit")},
}
"""What is made free, one at a time, by names that `Machine.scaled` takes."""


@dataclass(frozen=True)
class Row:
    """A layer in its fastest form.

    Attributes:
        target, layer, weights, tokens: which.
        variant, block_size, slots: the form; slots hold "tokens" or "pairs".
        scenarios_us: latencies; the first one is what is taken.
        roofline_us: as `nkimoe.reference.roofline` says.
        lost_us: by kind of work, how much faster the layer would be if that took no time.
    """

    target: str
    layer: str
    weights: str
    tokens: int
    variant: str
    block_size: int
    slots: str
    scenarios_us: Mapping[str, float]
    roofline_us: float
    lost_us: Mapping[str, float]

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What rows of two files have in common."""
        return self.target, self.layer, self.weights, self.tokens

    @property
    def nominal_us(self) -> float:
        return next(iter(self.scenarios_us.values()))

    @property
    def of_roofline(self) -> tuple[float, float, float]:
        """Nominal, least, most."""
        us = self.scenarios_us.values()
        return self.roofline_us / self.nominal_us, self.roofline_us / max(us), self.roofline_us / min(us)

    def losses(self) -> list[tuple[str, float]]:
        """Kinds of work and their share of the latency, the largest first, of those worth naming."""
        shares = {kind: us / self.nominal_us for kind, us in self.lost_us.items()}
        return sorted(((k, s) for k, s in shares.items() if s >= WORTH_NAMING), key=lambda found: -found[1])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def find(cases: list[VariantCase], shape: LayerShape, tokens: int) -> Row:
    """The fastest of the variants and block sizes.

    Raises:
        RuntimeError: none ran.
    """
    found = [
        (case, inputs, announced(case.name, *call, case.target))
        for case in cases
        for inputs in case.our_layers(shape, tokens)
        for call in case.our_calls(inputs)
    ]
    case, inputs, best = min(found, key=lambda each: each[2].cell.latency_us or float("inf"))
    if best.program is None:
        raise RuntimeError(f"{shape.name} with {tokens} tokens: {best.cell.refused}")
    cell, machine = fastest([best], case.target), load_machine(case.target)
    return Row(
        case.target, shape.name, case.weights(shape), tokens, case.name, cell.block_size, cell.slots,
        cell.scenarios_us, case.roofline_us(inputs, CORES), _lost(best.program, machine),
    )  # fmt: skip


def _lost(program: Program, machine: Machine) -> dict[str, float]:
    whole = timeline(program, machine).latency_ns
    return {
        kind: (whole - timeline(program, machine.scaled(factors)).latency_ns) / 1e3 for kind, factors in KINDS.items()
    }
