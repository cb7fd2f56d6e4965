"""MX weights of a layer for the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.cli.layer_data import one_expert, packed_weights
from nkimoe.models import Model
from nkimoe.mx_tiling import BLOCK, QUARTERS, TILE
from nkimoe.shares import MX_BLOCK
from nkimoe.tiling import PARTITIONS, ceil_div
from nkimoe.weights.expert import Expert
from nkimoe.weights.formats import MX_FORMATS
from nkimoe.weights.mx import Mx

Array = np.ndarray[Any, np.dtype[Any]]
MULTIPLES = (TILE, BLOCK)
RUN = MX_BLOCK // QUARTERS


class MxWeights:
    """Draws normal weights as `layer_data.expert_weights` does, and quantises them, an expert at a time.

    Attributes:
        multiples: of H and I that the kernels take.
    """

    multiples = MULTIPLES

    def __init__(self, name: str) -> None:
        self._packing = Mx(name)

    def __call__(
        self, model: Model, H: int, own: int, I: int, rng: np.random.Generator, step: Callable[[], None]
    ) -> dict[str, Array]:
        return packed_weights(
            lambda: self._packing.pack_expert(_padded(one_expert(model, own, rng), H, I)), model.E, step
        )


class RepeatedMxWeights(MxWeights):
    """Weights of the same shapes that take no memory, for runs that compute shapes only."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._packed = MX_FORMATS[name].packed

    def __call__(
        self, model: Model, H: int, own: int, I: int, rng: np.random.Generator, step: Callable[[], None]
    ) -> dict[str, Array]:
        zeros: dict[str, Any] = {"weight": np.zeros((), self._packed), "scale": np.full((), 127, np.uint8)}
        zeros["bias"] = np.zeros((), ml_dtypes.bfloat16)
        for _ in range(model.E):
            step()
        return {
            name: np.broadcast_to(zeros[name.rsplit("_", 1)[1]], shape)
            for name, shape in mx_weight_shapes(model, H, I).items()
        }


def mx_weight_shapes(model: Model, H: int, I: int) -> dict[str, tuple[int, ...]]:
    """Shapes of packed weights, scales and biases."""
    E, n, tiles, width = model.E, H // TILE, ceil_div(I, TILE), min(PARTITIONS, I // QUARTERS)
    shapes: dict[str, tuple[int, ...]] = {
        "gate_up_proj_weight": (E, PARTITIONS, 2, n, I),
        "down_proj_weight": (E, width, tiles, H),
        "gate_up_proj_scale": (E, PARTITIONS // RUN, 2, n, I),
        "down_proj_scale": (E, width // RUN, tiles, H),
    }
    if model.biases:
        shapes |= {"gate_and_up_proj_bias": (E, width, 2, tiles, QUARTERS), "down_proj_bias": (E, H)}
    return shapes


def _padded(expert: Expert, H: int, I: int) -> Expert:
    """Zeros up to H and I: the last rank of several may hold less than its share."""
    missing_H, missing_I = H - expert.H, I - expert.I
    bias, down_bias = expert.gate_up_bias, expert.down_bias
    return Expert(
        np.pad(expert.gate_up, ((0, missing_H), (0, 0), (0, missing_I))),
        np.pad(expert.down, ((0, missing_I), (0, missing_H))),
        None if bias is None else np.pad(bias, ((0, 0), (0, missing_I))),
        None if down_bias is None else np.pad(down_bias, (0, missing_H)),
    )
