"""A prediction beside a measurement: per engine, per opcode, per line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from on_device.explorer_summary import ProfileSummary
from on_device.instruction_table import InstructionSum, plain_opcode
from on_device.predicted import Prediction

_KINDS = {
    "matmul": ("matmul", "ncmatmul", "multiplymoving", "nctranspose"),
    "activation": ("activat",),
    "copy": ("copy", "tensorcopy"),
    "dma": ("dma", "pseudodma"),
}
"""Where NKI's names and those of profiles differ: beginnings of both. Other opcodes are called alike."""


@dataclass(frozen=True)
class Row:
    """Something predicted and measured; None where one side does not have it.

    Attributes:
        what: engine, opcode or line, and the unit.
    """

    what: str
    predicted: float | None
    measured: float | None

    @property
    def ratio(self) -> float | None:
        """Measured over predicted."""
        return self.measured / self.predicted if self.predicted and self.measured is not None else None

    def __str__(self) -> str:
        cells = [f"{'-' if each is None else format(each, '.5g'):>10}" for each in (self.predicted, self.measured)]
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        return f"{cells[0]} {cells[1]} {ratio:>7}  {self.what}"


def by_engine(prediction: Prediction, summary: ProfileSummary) -> Iterator[Row]:
    """Time at work, instructions, and bytes."""
    for engine, busy in summary.busy_us.items():
        yield Row(f"{engine}: busy, us", prediction.busy_us.get(engine), busy)
    for engine, count in summary.instructions.items():
        yield Row(f"{engine}: instructions", _known(prediction.instructions.get(engine)), float(count))
    yield Row("HBM: read, MB", prediction.hbm_read / 1e6, summary.hbm_read / 1e6)
    yield Row("HBM: written, MB", prediction.hbm_written / 1e6, summary.hbm_written / 1e6)


def by_kind(predicted: Iterable[InstructionSum], measured: Iterable[InstructionSum]) -> Iterator[Row]:
    """Mean time of an instruction of each engine and kind of opcode, where a profile and nkisim both count it."""
    yield from _joined(_means(predicted), _means(measured), "ns each")


def by_line(predicted: Iterable[InstructionSum], measured: Iterable[InstructionSum]) -> Iterator[Row]:
    """Time of all instructions of each line of the kernel."""
    yield from _joined(_totals(predicted), _totals(measured), "us")


def opcode_kind(opcode: str) -> str:
    """What NKI and profiles may both call it."""
    plain = plain_opcode(opcode)
    return next((kind for kind, beginnings in _KINDS.items() if plain.startswith(beginnings)), plain)


def _means(sums: Iterable[InstructionSum]) -> dict[str, float]:
    groups: defaultdict[str, list[InstructionSum]] = defaultdict(list)
    for each in sums:
        groups[f"{each.engine} {opcode_kind(each.what)}"].append(each)
    return {
        key: 1e3 * sum(each.busy_us for each in group) / sum(each.instructions for each in group)
        for key, group in groups.items()
    }


def _totals(sums: Iterable[InstructionSum]) -> dict[str, float]:
    return {each.what: each.busy_us for each in sums}


def _joined(mine: Mapping[str, float], theirs: Mapping[str, float], unit: str) -> Iterator[Row]:
    for key in sorted({*mine, *theirs}, key=lambda key: -max(mine.get(key, 0.0), theirs.get(key, 0.0))):
        yield Row(f"{key}, {unit}", mine.get(key), theirs.get(key))


def _known(count: int | None) -> float | None:
    return None if count is None else float(count)
