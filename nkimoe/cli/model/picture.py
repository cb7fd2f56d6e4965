# SPDX-License-Identifier: Apache-2.0
"""A picture of prefills: the steps' times stacked against tokens, with the interval of their sum."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nkimoe.cli.model.prediction import PrefillPrediction
from nkimoe.cli.model.table import describe
from nkisim.report.pictures import ACCENT, COLOURS, new_figure, plain, save

FILLS = (*dict.fromkeys((ACCENT, *COLOURS.values())),)
HATCHES = ("", "//")


def draw(name: str, found: Sequence[PrefillPrediction], path: Path) -> None:
    """Write it.

    Raises:
        PictureError: matplotlib is not installed, or the suffix is no picture's.
    """
    figure = new_figure(9, 5.2)
    axes = figure.subplots()
    places = range(len(found))
    bottoms = [0.0] * len(found)
    for number, step in enumerate(dict.fromkeys(step.name for each in found for step in each.steps)):
        heights = [_milliseconds(each, step) for each in found]
        axes.bar(places, heights, 0.6, bottoms, color=FILLS[number % len(FILLS)], label=step, edgecolor="white",
                 hatch=HATCHES[number // len(FILLS)], linewidth=0.5)  # fmt: skip
        bottoms = [below + height for below, height in zip(bottoms, heights, strict=True)]
    sums = [each.first_token for each in found]
    reach: Any = [[(each.us - each.low_us) / 1e3 for each in sums], [(each.high_us - each.us) / 1e3 for each in sums]]
    axes.errorbar(places, bottoms, reach, fmt="none", ecolor="black", capsize=4, linewidth=1)
    axes.set_xticks(places, [f"{each.prefill.tokens:,}" for each in found])
    axes.set_xlabel("tokens")
    axes.set_ylabel("predicted ms to first token; bars: least to most")
    axes.set_title(f"{name}: {describe(found[-1].prefill.layout)}", fontsize="small", loc="left")
    plain(axes)
    figure.legend(loc="outside right upper", fontsize="small", frameon=False, reverse=True)
    save(figure, path)


def _milliseconds(found: PrefillPrediction, name: str) -> float:
    return sum(step.all.us for step in found.steps if step.name == name) / 1e3
