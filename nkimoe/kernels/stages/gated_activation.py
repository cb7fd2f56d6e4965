"""act(gate) * up, with biases and clamps before the activation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.request import Request
from nkimoe.spec import ActFnType
from nkimoe.tiling import PARTITIONS, ceil_div

Step = tuple[Any, Any]
"""(operator, operand): an element-wise operation with a number or a [partitions, 1] tile."""

ACTIVATIONS: dict[ActFnType, tuple[Any, ...]] = {
    ActFnType.SiLU: (nl.silu,),
    ActFnType.GELU: (nl.gelu,),
    ActFnType.GELU_Tanh_Approx: (nl.gelu_apprx_tanh,),
    ActFnType.Swish: (nl.gelu_apprx_sigmoid,),
    ActFnType.ReLU: (nl.relu,),
    ActFnType.SquaredReLU: (nl.relu, nl.square),
}


@dataclass(frozen=True)
class GatedActivation:
    """The activation of a request.

    Attributes:
        functions: activation functions, applied in order.
        gate_limits, up_limits: clamp steps.
    """

    functions: tuple[Any, ...]
    gate_limits: tuple[Step, ...]
    up_limits: tuple[Step, ...]

    @classmethod
    def from_request(cls, request: Request) -> GatedActivation:
        """Only the limits that are given become steps."""
        return cls(ACTIVATIONS[request.activation_function], _limits(request.gate_clamp), _limits(request.up_clamp))

    def intermediate(self, projections: Iterable[Any], I: int, tokens: int, dtype: Any) -> Any:
        """act(gate) * up of all tiles, as [128, I/128, tokens]: row i on partition i % 128."""
        hidden = nl.ndarray((PARTITIONS, ceil_div(I, PARTITIONS), tokens), dtype=dtype, buffer=nl.sbuf)
        for p in projections:
            activated = self._activate(p.gate, (*p.gate_bias, *self.gate_limits))
            _multiply(hidden[0 : p.rows, p.tile, :], p.up, (*p.up_bias, *self.up_limits), activated)
        return hidden

    def _activate(self, gate: Any, steps: tuple[Step, ...]) -> Any:
        bias = None
        if len(steps) == 1 and steps[0][0] is nl.add:
            ((_, bias),) = steps  # the Scalar Engine adds it for free
        else:
            gate = _apply_steps(gate, steps)
        out = nl.ndarray(tuple(gate.shape), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=out, op=self.functions[0], data=gate, bias=bias)
        for function in self.functions[1:]:
            nisa.activation(dst=out, op=function, data=out)
        return out


def _limits(clamp: tuple[float | None, float | None]) -> tuple[Step, ...]:
    upper, lower = clamp
    low = () if lower is None else ((nl.maximum, float(lower)),)
    high = () if upper is None else ((nl.minimum, float(upper)),)
    return (*low, *high)


def _apply_steps(data: Any, steps: tuple[Step, ...]) -> Any:
    """`data` after all steps, two a pass; `data` itself if there are none."""
    for i in range(0, len(steps), 2):
        pair = steps[i : i + 2]
        (op0, operand0), (op1, operand1) = pair if len(pair) == 2 else (*pair, (None, None))
        out = nl.ndarray(tuple(data.shape), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=out, data=data, op0=op0, operand0=operand0, op1=op1, operand1=operand1)
        data = out
    return data


def _multiply(dst: Any, data: Any, steps: tuple[Step, ...], factor: Any) -> None:
    """dst = steps(data) * factor; an odd step joins the multiplication's pass."""
    if len(steps) % 2:
        data = _apply_steps(data, steps[:-1])
        op, operand = steps[-1]
        nisa.scalar_tensor_tensor(dst=dst, data=data, op0=op, operand0=operand, op1=nl.multiply, operand1=factor)
    else:
        nisa.tensor_tensor(dst=dst, data1=_apply_steps(data, steps), data2=factor, op=nl.multiply)
