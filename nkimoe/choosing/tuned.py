# SPDX-License-Identifier: Apache-2.0
"""Choices that were predicted, row by row: what `nkimoe sweep --csv` writes is a tuned table of layers."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nkimoe.choosing.choice import Fixed, LayerChoice
from nkimoe.choosing.load import ExpectedLoad
from nkimoe.errors import require
from nkimoe.planning.tiling import ceil_div
from nkimoe.spec import BlockShardStrategy, MoECTEImplementation

SIZES = ("hidden", "intermediate", "experts", "top_k", "tokens", "tp", "ep", "lnc", "block_size")
COLUMNS = (*SIZES, "weights", "target", "slots", "variant", "strategy", "latency_us")
"""That are read; others are left alone."""


@dataclass(frozen=True)
class TunedLayerKey:
    """What a row is for.

    Attributes:
        hidden: H of the model, as its configuration has it.
        columns: of I, on a rank.
        load: tokens, choices of a token, experts of the rank and of the layer.
        weights, target, lnc, slots: as `nkimoe sweep` names them.
    """

    hidden: int
    columns: int
    load: ExpectedLoad
    weights: str
    target: str
    lnc: int
    slots: str


@dataclass(frozen=True)
class TunedLayer:
    """A row: a choice, and its predicted microseconds."""

    key: TunedLayerKey
    choice: LayerChoice
    us: float


class TunedLayers:
    """Rows, the fastest of each key and choice."""

    def __init__(self, rows: Iterable[TunedLayer]) -> None:
        self._rows = sorted(rows, key=lambda row: row.us)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, key: TunedLayerKey, fixed: Fixed) -> LayerChoice | None:
        """The fastest choice that leaves what is fixed as it is, of the least number of tokens that is tuned: those of
        the key, or up to twice as many.
        """
        T = key.load.tokens
        fitting = [
            row for row in self._rows
            if _at(row.key, T) == key and T <= row.key.load.tokens < 2 * T and _keeps(row.choice, fixed)
        ]  # fmt: skip
        return min(fitting, key=lambda row: (row.key.load.tokens, row.us)).choice if fitting else None


def read_tuned_layers(path: str | Path) -> TunedLayers:
    """The rows of a CSV file that have a prediction.

    Raises:
        RequestError: a column or value that cannot be, by its line. OSError: no such file.
    """
    with open(path, encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
        fix = "Write it by nkimoe sweep --csv."
        require(not missing, str(path), f"has the columns {','.join(COLUMNS)}", f"no {','.join(missing)}", fix)
        return TunedLayers([_row(line, f"{path}, line {lines.line_num}") for line in lines if line["latency_us"]])


def _row(line: Mapping[str, str], place: str) -> TunedLayer:
    n = {name: _number(line[name], f"{place}, {name}") for name in SIZES}
    known = MoECTEImplementation.__members__
    variant, strategy, fix = line["variant"], line["strategy"], "Drop the line, or sweep again."
    require(variant in known, f"{place}, variant", f"is one of {', '.join(known)}", repr(variant), fix)
    names = ("", *BlockShardStrategy.__members__)
    require(strategy in names, f"{place}, strategy", f"is one of {', '.join(names[1:])}, or empty", repr(strategy), fix)
    load = ExpectedLoad(n["tokens"], n["top_k"], n["experts"] // n["ep"], n["experts"])
    columns = ceil_div(n["intermediate"], n["tp"])
    key = TunedLayerKey(n["hidden"], columns, load, line["weights"], line["target"], n["lnc"], line["slots"])
    choice = LayerChoice(known[variant], n["block_size"], BlockShardStrategy[strategy] if strategy else None)
    return TunedLayer(key, choice, float(line["latency_us"]))


def _number(text: str, place: str) -> int:
    is_count = text.isdecimal() and int(text) > 0
    require(is_count, place, "is a positive integer", repr(text), "Drop the line, or sweep again.")
    return int(text)


def _at(key: TunedLayerKey, tokens: int) -> TunedLayerKey:
    """The key of as many tokens."""
    return replace(key, load=replace(key.load, tokens=tokens))


def _keeps(choice: LayerChoice, fixed: Fixed) -> bool:
    return (
        fixed.implementation in (None, choice.implementation)
        and fixed.block_size in (None, choice.block_size)
        and (fixed.strategy is None or choice.strategy in (None, fixed.strategy))
    )
