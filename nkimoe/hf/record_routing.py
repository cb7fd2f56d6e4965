# SPDX-License-Identifier: Apache-2.0
"""Which experts the routers of a transformers model choose, written down while the model runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor

from nkimoe.arrays import Array
from nkimoe.errors import require
from nkimoe.routing.recorded import RoutingRecord

_LAYER = re.compile(r"layers\.(\d+)\.")


class RoutingRecorder:
    """What has been chosen so far; further calls of the model add their tokens."""

    def __init__(self) -> None:
        self._parts: dict[int, list[Array]] = {}

    def add(self, layer: int, ids: Tensor) -> None:
        """Ids [T, K] of the tokens of one call."""
        self._parts.setdefault(layer, []).append(ids.detach().int().cpu().numpy())

    @property
    def record(self) -> RoutingRecord:
        """All of it.

        Raises:
            RequestError: no experts have run.
        """
        require(bool(self._parts), "model", "has run its experts", "no call of them", "Call it inside the `with`.")
        layers: Mapping[int, Array] = {layer: np.concatenate(parts) for layer, parts in sorted(self._parts.items())}
        return RoutingRecord(layers)


@contextmanager
def record_routing(model: Any) -> Iterator[RoutingRecorder]:
    """Write down the choices of every layer of a transformers 5 model, whatever computes its experts.

        with record_routing(model) as recorder:
            model(prompt)
        recorder.record.save("routing.npz")

    Raises:
        RequestError: no layer has experts of transformers' interface.
    """
    recorder = RoutingRecorder()
    found = {
        int(number[1]): module
        for name, module in model.named_modules()
        if hasattr(module, "has_post_expert_norm") and (number := _LAYER.search(name))
    }
    require(bool(found), "model", "has experts of transformers' interface", type(model).__name__, "Take another model.")
    handles = [
        module.register_forward_hook(lambda _, inputs, output, layer=layer: recorder.add(layer, inputs[1]))
        for layer, module in found.items()
    ]
    try:
        yield recorder
    finally:
        for handle in handles:
            handle.remove()
