# SPDX-License-Identifier: Apache-2.0
"""Machines that differ from the real one by a factor here and there: what if HBM were faster?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from nkisim.machine.quantity import Quantity

SHORT_NAMES = {
    "hbm": ("hbm.stack_rate",),
    "dma": ("dma.rate",),
    "dma_latency": ("dma.start", "dma.start_hwdge", "dma.start_swdge", "dma.complete", "dma.to_engine"),
    "pe_clock": ("clock.pe",),
    "dve_clock": ("clock.dve",),
    "act_clock": ("clock.act",),
    "pool_clock": ("clock.pool",),
}
"""Names that people use, and the quantities each stands for."""

_NO_PART_OF_A_SCHEDULE = ("sbuf", "psum", "pe", "pool", "access", "order", "peak")
_WHOLE = ("pe_time.least_columns", "dma.engines", "dma.packet", "dma.queued")


def scaled(quantities: Mapping[str, Quantity], factors: Mapping[str, float]) -> dict[str, Quantity]:
    """The quantities of a machine with constants of its time model multiplied.

    Args:
        factors: by one of SHORT_NAMES, or by "section.name" of the machine file. A rate or clock of 1.2 is 20 % faster,
            a duration of 1.2 is 20 % longer.

    Raises:
        ValueError: an unknown name, a limit rather than a duration, a factor that is not positive, or a whole number
            that would not be whole.
    """
    result = dict(quantities)
    for name, factor in factors.items():
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"{name}={factor}: a factor is a positive number")
        for key in _keys(quantities, name):
            value = result[key].value * factor
            if key in _WHOLE and value != int(value):
                raise ValueError(
                    f"{name}={factor}: {key} is a whole number, {quantities[key].value:g} now, not {value:g}"
                )
            result[key] = dataclasses.replace(result[key], value=value)
    return result


def scalable(quantities: Mapping[str, Quantity]) -> tuple[str, ...]:
    """All names that `scaled` takes: no limits, and nothing that is zero however often it is multiplied."""
    keys = (key for key, quantity in quantities.items() if quantity.value)
    return *SHORT_NAMES, *(key for key in keys if key.partition(".")[0] not in _NO_PART_OF_A_SCHEDULE)


def _keys(quantities: Mapping[str, Quantity], name: str) -> tuple[str, ...]:
    if name in SHORT_NAMES:
        return SHORT_NAMES[name]
    if name not in scalable(quantities):
        raise ValueError(f"{name}: no constant of the time model; there are {', '.join(scalable(quantities))}")
    return (name,)
