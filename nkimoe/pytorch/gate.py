# SPDX-License-Identifier: Apache-2.0
"""What happens between the two projections of an expert, as `moe_cte` spells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nkimoe.spec import ActFnType


@dataclass(frozen=True)
class Gate:
    """act(clamp(g)) * (clamp(u) + up_offset); without a gate act(u).

    Attributes:
        activation: name of a `nkimoe.ActFnType`.
        gate_upper, gate_lower, up_upper, up_lower: limits; None is none, 0.0 is a limit.
        up_offset: added to up after its limits.
        has_gate: False for up-only experts.
    """

    activation: str = "SiLU"
    gate_upper: float | None = None
    gate_lower: float | None = None
    up_upper: float | None = None
    up_lower: float | None = None
    up_offset: float = 0.0
    has_gate: bool = True

    def arguments(self) -> dict[str, Any]:
        """Arguments of `moe_cte`."""
        return {
            "activation_function": ActFnType[self.activation],
            "gate_clamp_upper_limit": self.gate_upper,
            "gate_clamp_lower_limit": self.gate_lower,
            "up_clamp_upper_limit": self.up_upper,
            "up_clamp_lower_limit": self.up_lower,
            "up_offset": self.up_offset,
            "skip_gate_proj": not self.has_gate,
        }


SILU = Gate()
