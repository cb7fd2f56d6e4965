"""Arguments of tests that the kernel of the same checkout does not take, brought to what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def scales_in_a_config(kernel: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Loose MX scales become a QuantizationConfig; `weight_dtype` goes, as the weights have that type already."""
    from nkilib_src.nkilib.core.moe.moe_cte.moe_cte import QuantizationConfig

    if "gate_up_proj_scale" in inspect.signature(kernel).parameters:
        return given
    names = ("gate_up_proj_scale", "down_proj_scale")
    rest = {name: value for name, value in given.items() if name not in (*names, "weight_dtype")}
    return rest | {"quantization_config": QuantizationConfig(**{name: given[name] for name in names})}


ADAPTATIONS: dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {
    "": lambda kernel, given: given,
    "scales_in_a_config": scales_in_a_config,
}
