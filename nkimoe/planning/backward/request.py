# SPDX-License-Identifier: Apache-2.0
"""One call of `moe_cte_backward` as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nkimoe.planning.request import Request
from nkimoe.spec import MoECTEImplementation, MoECTESpec

BACKWARD_SPEC = MoECTESpec(MoECTEImplementation.shard_on_block)  # gradients have one implementation, which nobody names


@dataclass(frozen=True, eq=False)
class BackwardRequest(Request):
    """The arguments of `moe_cte_backward`, by name; what it shares with the forward pass is the forward pass's.

    Attributes:
        output_hidden_states_grad: the gradient of what `moe_cte` returned.
    """

    output_hidden_states_grad: Any = None

    @property
    def projections(self) -> int:
        """Projections before the activation: gate and up, or up alone."""
        return 1 if self.skip_gate_proj else 2

    @property
    def first_projection(self) -> int:
        """0 for gate, 1 for up."""
        return 2 - self.projections
