# SPDX-License-Identifier: Apache-2.0
"""A row of a tuned table, as a value and as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from nkimoe.errors import require
from nkimoe.planning.grouped_gemm.choice import SLOT_STEP, GemmChoice, Split
from nkimoe.planning.targets import TARGETS
from nkimoe.planning.tiling import PSUM_COLUMNS
from nkimoe.tuning.layer_key import EPILOGUES, TIERS, LayerKey, buckets
from nkimoe.tuning.operand_types import OperandTypes, quantization_of

FLAGS = {"0": False, "1": True}
LAYER = tuple(each.name for each in fields(LayerKey))
SIZES = LAYER[:5]
STAGES = ("1", "2")
OF_CHOICE, OF_TIME = ("width", "at_once", "split"), ("us", "low", "high")
OF_STAGE = (*OF_CHOICE, *OF_TIME)
COLUMNS = (
    "target", "lnc", *LAYER, "block_size", *(name + stage for stage in STAGES for name in OF_STAGE), *OF_TIME, "clock",
    "nkimoe",
)  # fmt: skip


class PredictedTime(NamedTuple):
    """Microseconds, and between what they may lie."""

    us: float
    low: float
    high: float


@dataclass(frozen=True)
class TunedRow:
    """The choice predicted best for a layer.

    Attributes:
        target, lnc: where it runs, and on how many cores.
        choices: of each stage, with nothing left to a rule; they have one block size.
        stages: predicted, each alone.
        whole: predicted of one launch of all stages.
        clock, nkimoe: versions of what predicted it; of nkimoe "" from sources that are not installed.
    """

    target: str
    lnc: int
    layer: LayerKey
    choices: tuple[GemmChoice, ...]
    stages: tuple[PredictedTime, ...]
    whole: PredictedTime
    clock: str
    nkimoe: str

    @property
    def key(self) -> tuple[str, int, LayerKey]:
        """What only one row of a table has."""
        return self.target, self.lnc, self.layer

    def is_better_than(self, other: TunedRow) -> bool:
        """Predicted by a newer clock, as times of two clocks do not compare, or faster by the same one."""
        return (_version(self.clock), -self.whole.us) > (_version(other.clock), -other.whole.us)

    def as_text(self) -> dict[str, str]:
        """By column; of a second stage that is not there, nothing."""
        layer = {name: _written(getattr(self.layer, name)) for name in LAYER}
        row = {"target": self.target, "lnc": str(self.lnc), **layer, "block_size": str(self.choices[0].block_size)}
        for stage, choice, time in zip(STAGES, self.choices, self.stages, strict=False):
            values = {name: getattr(choice, name) for name in OF_CHOICE} | time._asdict()
            row |= {name + stage: _written(value) for name, value in values.items()}
        row |= {name: _written(value) for name, value in self.whole._asdict().items()}
        return row | {"clock": self.clock, "nkimoe": self.nkimoe}


def row_of(text: Mapping[str, str], place: str) -> TunedRow:
    """The row that a line holds.

    Raises:
        RequestError: a value that cannot be, by its `place` and column.
    """
    read = _Line(text, place)
    target = read.one_of("target", TARGETS)
    layer = _layer(read)
    size = read.count("block_size")
    rule = f"is a multiple of {SLOT_STEP}"
    require(size % SLOT_STEP == 0, f"{place}, block_size", rule, size, "Tune the layer again.")
    stages = STAGES[: layer.stages]
    clock, fix = text["clock"], "Tune the layer again."
    require(all(n.isdecimal() for n in clock.split(".")), f"{place}, clock", "is a version", repr(clock), fix)
    return TunedRow(
        target, read.count("lnc", 2), layer, tuple(_choice(read, size, stage) for stage in stages),
        tuple(_time(read, stage) for stage in stages), _time(read, ""), clock, text["nkimoe"],
    )  # fmt: skip


def _layer(read: _Line) -> LayerKey:
    gated = FLAGS[read.one_of("use_g1u1", FLAGS)]
    values: dict[str, Any] = {name: read.count(name) for name in SIZES}
    token, rule = values["token"], f"is a power of two up to {TIERS[0]}, or {TIERS[1]}"
    require(token == buckets(token)[0], f"{read.place}, token", rule, token, "Calls would not find it: drop the line.")
    values |= {name: read.text[name] for name in OperandTypes._fields}
    values["act_type"] = read.one_of("act_type", [name for name, of in EPILOGUES if of is gated])
    values["dtype"] = read.one_of("dtype", ("bfloat16", "float16"))
    values |= {"use_g1u1": gated, "doweight_stage1": FLAGS[read.one_of("doweight_stage1", FLAGS)]}
    layer = LayerKey(**values)
    is_known, rule = quantization_of(layer.types, layer.dtype) is not None, "is of a quantisation of nkimoe.ops"
    require(is_known, f"{read.place}, q_type", rule, ", ".join(layer.types), "Drop the line.")
    return layer


def _choice(read: _Line, block_size: int, stage: str) -> GemmChoice:
    split = Split(read.one_of("split" + stage, [each.value for each in Split]))
    return GemmChoice(block_size, read.count("width" + stage, PSUM_COLUMNS), read.count("at_once" + stage), split)


def _time(read: _Line, stage: str) -> PredictedTime:
    return PredictedTime(*(read.number(name + stage) for name in OF_TIME))


class _Line(NamedTuple):
    """A line by column, and where it stands."""

    text: Mapping[str, str]
    place: str

    def one_of(self, column: str, known: Any) -> str:
        value, fix = self.text[column], "Drop the line, or tune the layer again."
        require(value in known, f"{self.place}, {column}", f"is {', '.join(known)}", repr(value), fix)
        return value

    def count(self, column: str, most: int | None = None) -> int:
        value = self._parsed(column, int)
        rule = f"is 1 to {most}" if most else "is 1 or more"
        is_right = value >= 1 and (most is None or value <= most)
        require(is_right, f"{self.place}, {column}", rule, value, "Drop the line, or tune the layer again.")
        return int(value)

    def number(self, column: str) -> float:
        value = self._parsed(column, float)
        require(0 < value < float("inf"), f"{self.place}, {column}", "is positive", value, "Tune the layer again.")
        return value

    def _parsed(self, column: str, kind: Callable[[str], float]) -> float:
        try:
            return kind(self.text[column])
        except ValueError:
            require(False, f"{self.place}, {column}", "is a number", repr(self.text[column]), "Tune the layer again.")
            raise


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("."))


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Split):
        return value.value
    return f"{value:.3f}" if isinstance(value, float) else str(value)
