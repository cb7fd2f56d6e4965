"""Time of what no kernel was simulated for: its roofline over a share of it that kernels reach."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.prefill.estimate import Estimate
from nkimoe.prefill.layout import PrefillLayout
from nkimoe.reference.roofline import roofline
from nkisim.machine import UsefulWork


@dataclass(frozen=True)
class Reached:
    """Shares of the roofline: nominal, most and least."""

    nominal: float
    most: float
    least: float


# nki-library's projections, attention and MLPs reach 0.28 to 0.81 of their rooflines in simulation (docs/planning.md).
REACHED = Reached(nominal=0.5, most=1.0, least=0.25)


def arithmetic(work: UsefulWork, layout: PrefillLayout) -> Estimate:
    """Of bf16 work on a rank."""
    least = roofline(work, layout.target, layout.lnc).latency_us
    return Estimate(least / REACHED.nominal, least / REACHED.most, least / REACHED.least)
