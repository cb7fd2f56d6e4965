"""Everything about one call of the kernel that is not a tensor, as a value that a graph can hold: text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from nkimoe.pytorch.gate import Gate
from nkimoe.pytorch.options import Options
from nkimoe.spec import ActFnType


@dataclass(frozen=True)
class Call:
    """How to launch, and what the experts do.

    Attributes:
        options: how to run.
        gate: activation, limits, offset.
        accumulate: whether a token has several experts.
    """

    options: Options
    gate: Gate
    accumulate: bool

    def to_text(self) -> str:
        """JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Call:
        """The inverse of `to_text`."""
        read = json.loads(text)
        return cls(Options(**read["options"]), Gate(**read["gate"]), read["accumulate"])

    def arguments(self) -> dict[str, Any]:
        """Arguments of `moe_cte`."""
        gate = self.gate
        return {
            "block_size": self.options.block_size,
            "is_tensor_update_accumulating": self.accumulate,
            "activation_function": ActFnType[gate.activation],
            "gate_clamp_upper_limit": gate.gate_upper,
            "gate_clamp_lower_limit": gate.gate_lower,
            "up_clamp_upper_limit": gate.up_upper,
            "up_clamp_lower_limit": gate.up_lower,
            "up_offset": gate.up_offset,
            "skip_gate_proj": not gate.has_gate,
        }
