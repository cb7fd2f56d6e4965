"""What auto chose beside the best, as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marked_page import grid

from nkimoe.choosing import LayerChoice

HEADINGS = ["target", "layer", "weights", "tokens", "chosen", "us", "best us", "behind", "choices", "predicted"]


@dataclass(frozen=True)
class Judged:
    """A layer.

    Attributes:
        us, best_us: predicted, of what was chosen and of the fastest.
        choices, predicted: that can be, and of which there is a prediction.
    """

    target: str
    layer: str
    weights: str
    tokens: int
    chosen: LayerChoice
    us: float
    best_us: float
    choices: int
    predicted: int

    @property
    def behind(self) -> float:
        """Of the best, as a share."""
        return self.us / self.best_us - 1

    def cells(self) -> list[str]:
        """Of a table."""
        counts = [str(self.choices), str(self.predicted)]
        us = [f"{self.us:,.0f}", f"{self.best_us:,.0f}", f"{self.behind:.1%}"]
        return [self.target, self.layer, self.weights, f"{self.tokens:,}", str(self.chosen), *us, *counts]


def page_lines(rows: Sequence[Judged]) -> list[str]:
    """For a page of the documentation."""
    lines = [""]
    for target, weights in dict.fromkeys((row.target, row.weights) for row in rows):
        own = [row.behind for row in rows if (row.target, row.weights) == (target, weights)]
        lines.append(
            f"{target}, {weights}: of {len(own)} cases the worst choice is {max(own):.1%} behind the best, the mean "
            f"{sum(own) / len(own):.1%}."
        )
    return [*lines, "", *grid(HEADINGS, [row.cells() for row in rows]), ""]
