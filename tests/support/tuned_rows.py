"""Rows of tuned tables made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from nkimoe.planning.grouped_gemm.choice import GemmChoice, Split
from nkimoe.tuning import LayerKey, PredictedTime, TunedRow
from nkisim.timing import CLOCK

LAYER = LayerKey(
    128, 200, 300, 4, 3, "silu", "bfloat16", "bfloat16", "bfloat16", "no", use_g1u1=True, doweight_stage1=False
)
CHOICES = GemmChoice(256, 112, 2, Split.COLUMNS), GemmChoice(256, 100, 1, Split.BLOCKS)


def tuned_row(layer: LayerKey = LAYER, us: float = 9.0, choices: Sequence[GemmChoice] = CHOICES) -> TunedRow:
    """On two cores of trn2."""
    times = tuple(PredictedTime(us / 2, us / 4, us) for _ in range(layer.stages))
    whole = PredictedTime(us, us / 2, us * 2)
    return TunedRow("trn2", 2, layer, tuple(choices[: layer.stages]), times, whole, CLOCK, "0.1.0")
