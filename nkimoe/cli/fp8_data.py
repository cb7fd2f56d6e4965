"""FP8 weights of a layer for the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.cli.layer_data import one_expert, packed_weights
from nkimoe.models import Model
from nkimoe.weights.fp8 import FP8_OF_TARGET, Fp8Row, Fp8Static

Array = np.ndarray[Any, np.dtype[Any]]
PACKINGS: dict[str, type[Fp8Row] | type[Fp8Static]] = {"fp8-row": Fp8Row, "fp8-static": Fp8Static}
Shapes = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]


class Fp8Weights:
    """Draws normal weights as `layer_data.expert_weights` does, and quantises them, an expert at a time."""

    def __init__(self, name: str, target: str) -> None:
        self._packing = PACKINGS[name](FP8_OF_TARGET[target])

    def __call__(
        self, model: Model, H: int, own: int, I: int, rng: np.random.Generator, step: Callable[[], None]
    ) -> dict[str, Array]:
        return packed_weights(lambda: self._packing.pack_expert(one_expert(model, own, rng)), model.E, step)


class RepeatedFp8Weights:
    """Weights of the same shapes that take no memory, for runs that compute shapes only."""

    def __init__(self, name: str, target: str) -> None:
        self._name, self._target = name, target

    def __call__(
        self, model: Model, H: int, own: int, I: int, rng: np.random.Generator, step: Callable[[], None]
    ) -> dict[str, Array]:
        for _ in range(model.E):
            step()
        shapes = fp8_weight_shapes(self._name, self._target, model, H, I)
        return {name: np.broadcast_to(np.ones((), dtype), shape) for name, (shape, dtype) in shapes.items()}


def fp8_weight_shapes(name: str, target: str, model: Model, H: int, I: int) -> Shapes:
    """Shapes and types of weights, scales and biases."""
    E, fp8, fp32, bf16 = model.E, FP8_OF_TARGET[target], np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)
    is_row = PACKINGS[name] is Fp8Row
    shapes: Shapes = {
        "gate_up_proj_weight": ((E, H, 2, I), fp8),
        "down_proj_weight": ((E, I, H), fp8),
        "gate_up_proj_scale": ((E, 1, 2 * I) if is_row else (E, 2, 1), fp32),
        "down_proj_scale": ((E, 1, H) if is_row else (E, 1), fp32),
    }
    if model.biases:
        shapes |= {"gate_and_up_proj_bias": ((E, 2, I), bf16), "down_proj_bias": ((E, H), bf16)}
    return shapes
