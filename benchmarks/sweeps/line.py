"""A line of `nkimoe sweep`, as it is printed on a page and as it is run."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shapes import PublishedLayer

from nkimoe.cli.main import main

COMMAND = "nkimoe"
Row = Mapping[str, Any]
"""Columns of a sweep's JSON by name."""


@dataclass(frozen=True)
class SweepLine:
    """A layer on one rank, in some variants.

    Attributes:
        tokens, weights, variants: the axes.
        is_for_best: predict what may be the best alone.
    """

    layer: PublishedLayer
    target: str
    tokens: tuple[int, ...]
    weights: tuple[str, ...]
    variants: tuple[str, ...]
    is_for_best: bool = False

    @property
    def arguments(self) -> list[str]:
        """Behind the command. Routing is uniform; a layer counts even if a rank's HBM cannot hold the model."""
        layer = self.layer
        options = {
            "model": layer.model, "target": self.target, "tp": layer.tp, "ep": layer.ep,
            "tokens": ",".join(map(str, self.tokens)), "routing": "uniform", "weights": ",".join(self.weights),
            "variant": ",".join(self.variants), **({"predict": "best"} if self.is_for_best else {}),
        }  # fmt: skip
        words = (word for name, value in options.items() for word in (f"--{name}", str(value)))
        return ["sweep", *words, "--ignore-memory"]

    def __str__(self) -> str:
        return shlex.join([COMMAND, *self.arguments])

    def run(self, options: Sequence[str]) -> Swept:
        """Its rows.

        Args:
            options: of the sweep, which change no row: where it runs and what is kept.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows.json"
            main([*self.arguments, *options, "--json", str(file)], standalone_mode=False)
            report = json.loads(file.read_text(encoding="utf-8"))
        return Swept(self, report["made_by"]["clock"], tuple(report["rows"]))


@dataclass(frozen=True)
class Swept:
    """What a line found.

    Attributes:
        clock: version of the time model.
        rows: in the order of the sweep.
    """

    line: SweepLine
    clock: str
    rows: tuple[Row, ...]

    @property
    def predicted(self) -> list[Row]:
        """Without those that are estimated or impossible."""
        return [row for row in self.rows if row["latency_us"] is not None]

    @property
    def best(self) -> list[Row]:
        """One for each number of tokens and format of the weights."""
        return [row for row in self.rows if row["best"]]
