# SPDX-License-Identifier: Apache-2.0
"""Time of what no kernel was simulated for: its roofline over a share of it that kernels reach."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.prefill.estimate import Estimate
from nkimoe.prefill.layout import PrefillLayout
from nkimoe.prefill.steps import ATTENTION, Compute
from nkimoe.reference.roofline import roofline


@dataclass(frozen=True)
class Reached:
    """Shares of the roofline: nominal, most and least."""

    nominal: float
    most: float
    least: float


# What nki-library's kernels reach in simulation on Trn2 with 1,024 to 4,096 tokens of Qwen3-30B-A3B at TP 4: attention
# 0.11 to 0.28, projections and MLPs 0.40 to 0.81. `nkimoe model --nkilib` simulates them for any other shape.
REACHED = {ATTENTION: Reached(nominal=0.2, most=1.0, least=0.1)}
OTHERS = Reached(nominal=0.5, most=1.0, least=0.25)


def arithmetic(step: Compute, layout: PrefillLayout) -> Estimate:
    """Of bf16 work on a rank."""
    least, reached = roofline(step.work, layout.target, layout.lnc).latency_us, REACHED.get(step.kind, OTHERS)
    return Estimate(least / reached.nominal, least / reached.most, least / reached.least)
