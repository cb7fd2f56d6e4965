# SPDX-License-Identifier: Apache-2.0
"""Which `Gate` an experts module has: not read from names but tried, since a family says what it does by doing it.

`_apply_gate` (or `act_fn` without a gate) is evaluated on a grid that lies on both sides of every limit, and compared
with each gate `moe_cte` has. What agrees with none is refused, so a new family is never computed wrongly in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nkimoe.arrays import Floats
from nkimoe.errors import RequestError
from nkimoe.pytorch.gate import Gate
from nkimoe.reference.activations import ACTIVATIONS
from nkimoe.spec import ActFnType

LIMIT_NAMES = ("limit", "swiglu_limit")
FAR = 30.0  # beyond it activations are constant or linear, and SquaredReLU still is exact
STEPS = 49


def recognise_gate(module: Any) -> Gate:
    """The gate of a transformers experts module.

    Raises:
        RequestError: it is none of those `moe_cte` has.
    """
    limits = limits_of(module)
    gate, up = _grid(limits)
    try:
        actual = _tried(module, gate, up)
    except Exception as error:
        raise RequestError(
            type(module).__name__, "has a gate that takes [rows, 2I]", repr(error), "Run it with experts 'eager'."
        ) from error
    for candidate in _candidates(limits, has_gate=module.has_gate):
        expected = _evaluate(candidate, gate, up)
        if np.allclose(actual, expected, rtol=1e-4, atol=1e-4):
            return candidate
    raise RequestError(
        type(module).__name__,
        f"has a gate of moe_cte: {', '.join(a.name for a in ActFnType)}, limits, (up + 1)",
        f"{type(getattr(module, 'act_fn', None)).__name__} in {type(module).__name__}._apply_gate, which is another",
        "Run it with experts 'eager'.",
    )


@torch.compiler.assume_constant_result
def recognise_while_traced(module: Any) -> Gate:
    """`recognise_gate`, wherever it is called: `torch.compile` takes the gate as a constant of its graph, and the gate
    is tried in a thread of its own, where no mode of torch's, such as the fake tensors of `torch.export`, is in force.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(recognise_gate, module).result()


def limits_of(module: Any) -> list[float]:
    """Numbers the module may clamp at."""
    values = (getattr(module, name, None) for name in LIMIT_NAMES)
    return [float(value) for value in values if isinstance(value, (int, float))]


def _grid(limits: list[float]) -> tuple[Floats, Floats]:
    """Pairs (gate, up): fine around zero, far out, and on both sides of each limit."""
    sides = [side * limit * factor for limit in limits for side in (-1, 1) for factor in (0.9, 1.0, 1.1, 2.0)]
    points = np.array([*np.linspace(-4, 4, STEPS), -FAR, -10.0, 10.0, FAR, *sides], np.float32)
    gate, up = np.meshgrid(points, points)
    return gate.ravel(), up.ravel()


def _tried(module: Any, gate: Floats, up: Floats) -> Floats:
    """What the module makes of each pair, as columns of one row in the module's layout."""
    rows = [torch.from_numpy(x)[:, None].repeat(1, 2) for x in (gate, up)]  # two equal columns: I = 2
    with torch.no_grad():
        if not module.has_gate:
            result: Tensor = module.act_fn(rows[1])
        elif module.is_concatenated:
            result = module._apply_gate(torch.cat(rows, dim=1))
        else:
            result = module._apply_gate(torch.stack(rows, dim=2).flatten(1))
    values: Floats = result.float().numpy()
    if values.shape != (gate.size, 2):
        raise ValueError(f"it makes {values.shape} of [{gate.size}, 4]")
    return values[:, 0] if np.array_equal(values[:, 0], values[:, 1]) else np.full_like(gate, np.nan)


def _candidates(limits: list[float], has_gate: bool) -> Iterator[Gate]:
    names = [activation.name for activation in ActFnType]
    if not has_gate:
        yield from (Gate(name, has_gate=False) for name in names)
        return
    for name in names:
        for offset in (0.0, 1.0):
            yield Gate(name, up_offset=offset)
            for limit in limits:
                yield Gate(name, gate_upper=limit, up_upper=limit, up_lower=-limit, up_offset=offset)


def _evaluate(gate: Gate, g: Floats, u: Floats) -> Floats:
    act = ACTIVATIONS[ActFnType[gate.activation]].value
    if not gate.has_gate:
        return act(u)
    g, u = _clip(g, gate.gate_lower, gate.gate_upper), _clip(u, gate.up_lower, gate.up_upper)
    return act(g) * (u + np.float32(gate.up_offset))


def _clip(x: Floats, lower: float | None, upper: float | None) -> Floats:
    clipped: Floats = np.clip(x, -np.inf if lower is None else lower, np.inf if upper is None else upper)
    return clipped.astype(np.float32)
