# SPDX-License-Identifier: Apache-2.0
"""Time of exchanges between ranks: a start, and bytes over a rank's bandwidth. No measurement of ours tests it.

The start, in us: nominal 17.5, an all-reduce of a decoding step on trn2, as a third party measured; least 10, 8 ranks
on the page of nccom-test; most 100, another third party on trn2. Bandwidth, in 1e9 bytes a second: at best a rank's
share of NeuronLink, which is documented; at worst 40.7, two ranks of an older chip on the page of nccom-test; nominal
is their geometric mean.

A graph with exchanges between chips also waits once for all ranks: 1.0 ms for 4 ranks of a chip and 2.5 ms for 32, as a
third party measured on trn2. Between and beyond, the logarithm of the ranks decides here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import log2, sqrt

from nkimoe.prefill.estimate import NOTHING, Estimate
from nkimoe.prefill.layout import PrefillLayout

START_US = Estimate(17.5, 10.0, 100.0)
SLOW_GBPS = 40.7
MEETING_US = {4: 1000.0, 32: 2500.0}  # by ranks
MEETING_SPREAD = 2.0  # two measurements of one runtime


class Collective(Enum):
    """Kinds of exchange, with how often a rank sends what it has: rings, of p ranks."""

    ALL_REDUCE = "all-reduce"
    ALL_GATHER = "all-gather"
    REDUCE_SCATTER = "reduce-scatter"
    ALL_TO_ALL = "all-to-all"

    def share_sent(self, ranks: int) -> float:
        """Of the bytes of the whole tensor; of those a rank sends, with ALL_TO_ALL."""
        rounds = 2 if self is Collective.ALL_REDUCE else 1
        return rounds * (ranks - 1) / ranks


@dataclass(frozen=True)
class Exchange:
    """One exchange.

    Attributes:
        collective: which kind.
        ranks: that take part.
        nbytes: of the whole tensor; with ALL_TO_ALL of what a rank sends, that to itself included.
    """

    collective: Collective
    ranks: int
    nbytes: float

    def estimate(self, layout: PrefillLayout) -> Estimate:
        """Its time; nothing where a rank is alone."""
        if self.ranks == 1:
            return NOTHING
        sent = self.collective.share_sent(self.ranks) * self.nbytes
        fast = layout.chip.rank_gbps(layout.lnc)
        rates = (sqrt(fast * SLOW_GBPS), fast, SLOW_GBPS)
        return START_US + Estimate(*(sent / rate / 1e3 for rate in rates))


def meeting(layout: PrefillLayout) -> Estimate:
    """Until all ranks have begun, once a prefill."""
    if layout.ranks == 1:
        return NOTHING
    (few, us), (many, more) = MEETING_US.items()
    share = log2(layout.ranks / few) / log2(many / few)
    nominal = max(us / 4, us + share * (more - us))
    return Estimate(nominal, nominal / MEETING_SPREAD, nominal * MEETING_SPREAD)
