# SPDX-License-Identifier: Apache-2.0
"""Comparing a run with eager DMA transfers with one where they are late."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import DmaOrderError, Location
from nkisim.execution.arguments import is_torch, torch_to_numpy
from nkisim.observe.dma_deadlines import NEVER, Deadline


def order_error(where: str, deadlines: Mapping[tuple[int, int], Deadline]) -> DmaOrderError:
    """Eager and late runs disagree; the transfers that nothing waits for are the likeliest reason."""
    unawaited = dict.fromkeys(d.location for d in deadlines.values() if d.before == NEVER)
    lines = ", ".join(str(line) for line in list(unawaited)[:5]) or "none"
    return DmaOrderError(
        "results do not depend on when DMA transfers complete",
        f"{where}; transfers that nothing waits for: {lines}",
        "Access the bytes through one tensor, or put a core_barrier for it between the cores.",
        next(iter(unawaited), Location("<kernel>", 0)),
    )


def first_difference(eager: Any, late: Any, name: str) -> str | None:
    """A description of the first array element in which two results differ bit by bit, or None."""
    if isinstance(eager, dict):
        eager, late = list(eager.values()), list(late.values())
    if isinstance(eager, (list, tuple)):
        pairs = enumerate(zip(eager, late, strict=True))
        return next((d for i, (a, b) in pairs if (d := first_difference(a, b, f"{name}[{i}]"))), None)
    if dataclasses.is_dataclass(eager) and not isinstance(eager, type):
        fields = [f.name for f in dataclasses.fields(eager)]
        found = (first_difference(getattr(eager, f), getattr(late, f), f"{name}.{f}") for f in fields)
        return next((d for d in found if d), None)
    if is_torch(eager):
        eager, late = torch_to_numpy(eager), torch_to_numpy(late)
    if not isinstance(eager, np.ndarray):
        return None
    unequal = _bits(eager) != _bits(late)
    if not unequal.any():
        return None
    at = tuple(int(i) for i in np.argwhere(unequal)[0][: eager.ndim])
    return f"{name}{list(at)} is {eager[at]} with eager transfers and {late[at]} with late ones"


def _bits(array: Array) -> Array:
    """The bytes of each element, in a last dimension of their own."""
    dense = np.array(array, order="C", ndmin=1)
    return dense.reshape(-1).view(np.uint8).reshape(*array.shape, array.itemsize)
