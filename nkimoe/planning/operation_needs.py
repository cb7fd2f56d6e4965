# SPDX-License-Identifier: Apache-2.0
"""What operations ask of the kernels beside the arguments of `moe_cte`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Added:
    """What results are added to: rows [T', H] * factor, in fp32, rounded with the sum. Every token has one slot."""

    rows: Any
    factor: float


@dataclass(frozen=True, eq=False)
class Smooth:
    """What activations of an expert are multiplied with, column by column, before they are quantised.

    Attributes:
        hidden: fp32 [E, H], of hidden states.
        intermediate: fp32 [E, I], of act(gate) * up, which then is quantised in fp32, not rounded first.
    """

    hidden: Any
    intermediate: Any
