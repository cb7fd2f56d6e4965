"""A `Gate` and its derivative in torch, for the backward pass and wherever experts run without the kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from nkimoe.pytorch.gate import Gate
from nkimoe.spec import ActFnType

Limits = tuple[float | None, float | None]

ACTIVATIONS: dict[ActFnType, Callable[[Tensor], Tensor]] = {
    ActFnType.SiLU: functional.silu,
    ActFnType.GELU: functional.gelu,
    ActFnType.GELU_Tanh_Approx: lambda x: functional.gelu(x, approximate="tanh"),
    ActFnType.Swish: lambda x: x * torch.sigmoid(1.702 * x),
    ActFnType.ReLU: functional.relu,
    ActFnType.SquaredReLU: lambda x: functional.relu(x).square(),
}
_aten = torch.ops.aten
DERIVATIVES: dict[ActFnType, Callable[[Tensor, Tensor], Tensor]] = {  # (gradient, x) -> gradient * act'(x)
    ActFnType.SiLU: _aten.silu_backward,
    ActFnType.GELU: _aten.gelu_backward,
    ActFnType.GELU_Tanh_Approx: lambda d, x: _aten.gelu_backward(d, x, approximate="tanh"),
    ActFnType.Swish: lambda d, x: _aten.silu_backward(d, 1.702 * x),  # act(x) = silu(1.702 x) / 1.702
    ActFnType.ReLU: lambda d, x: d * (x > 0),
    ActFnType.SquaredReLU: lambda d, x: d * 2 * functional.relu(x),
}


def apply_gate(gate: Gate, gate_up: Tensor) -> Tensor:
    """What `gate` makes of [..., 2, I]: [..., I]."""
    act = ACTIVATIONS[ActFnType[gate.activation]]
    g, u = _clamped(gate, gate_up)
    return act(g) * u if gate.has_gate else act(u)


def gate_backward(gate: Gate, d: Tensor, gate_up: Tensor) -> Tensor:
    """The gradient of [..., 2, I], from that of [..., I]; zero beyond a limit, as of `torch.clamp`."""
    kind = ActFnType[gate.activation]
    g, u = _clamped(gate, gate_up)
    raw_g, raw_u = gate_up.unbind(-2)
    if gate.has_gate:
        d_g, d_u = DERIVATIVES[kind](d * u, g), d * ACTIVATIONS[kind](g)
    else:
        d_g, d_u = torch.zeros_like(g), DERIVATIVES[kind](d, u)
    d_g = d_g * _is_within(raw_g, (gate.gate_lower, gate.gate_upper))
    return torch.stack([d_g, d_u * _is_within(raw_u, (gate.up_lower, gate.up_upper))], dim=-2)


def _clamped(gate: Gate, gate_up: Tensor) -> tuple[Tensor, Tensor]:
    g, u = gate_up.unbind(-2)
    return _clamp(g, (gate.gate_lower, gate.gate_upper)), _clamp(u, (gate.up_lower, gate.up_upper)) + gate.up_offset


def _clamp(x: Tensor, limits: Limits) -> Tensor:
    return x if limits == (None, None) else x.clamp(*limits)


def _is_within(x: Tensor, limits: Limits) -> Tensor:
    return _clamp(x, limits) == x
