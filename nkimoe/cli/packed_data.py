# SPDX-License-Identifier: Apache-2.0
"""Quantised weights of a layer for the command line, and the shapes and types of all weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.cli.layer_data import DENSE_MULTIPLES, dense_weight_shapes, one_expert
from nkimoe.models import Model
from nkimoe.planning.mx.tiling import BLOCK, QUARTERS, TILE
from nkimoe.planning.scale_blocks import block_scale_shapes
from nkimoe.planning.shares import MX_BLOCK
from nkimoe.planning.tiling import PARTITIONS, ceil_div
from nkimoe.weights.expert import Expert
from nkimoe.weights.formats import MX_FORMATS
from nkimoe.weights.fp8 import FP8_OF_TARGET
from nkimoe.weights.packing import packing_named

Shapes = dict[str, tuple[int, ...]]
BF16, INT8 = "bf16", "int8"
RUN = MX_BLOCK // QUARTERS


class PackedWeights:
    """Draws normal weights as `layer_data.expert_weights` does, and quantises them, an expert at a time.

    Attributes:
        multiples: of H and I that the kernels take.
    """

    def __init__(self, name: str, target: str) -> None:
        self.multiples = multiples_of(name)
        self._name, self._target = name, target

    def __call__(
        self, model: Model, H: int, own: int, I: int, rng: np.random.Generator, step: Callable[[], None]
    ) -> dict[str, Array]:
        tensors: dict[str, Array] = {}
        packing = packing_named(self._name, self._target)
        for e in range(model.E):
            packed = packing.pack_expert(padded(one_expert(model, own, rng), H, I))
            tensors = tensors or {name: np.empty((model.E, *part.shape), part.dtype) for name, part in packed.items()}
            for name, part in packed.items():
                tensors[name][e] = part
            step()
        return tensors


class RepeatedPackedWeights(PackedWeights):
    """Weights of the same shapes that take no memory, for runs that compute shapes only."""

    def __call__(
        self, model: Model, H: int, own: int, I: int, rng: np.random.Generator, step: Callable[[], None]
    ) -> dict[str, Array]:
        for _ in range(model.E):
            step()
        types, one = weight_types(self._name, self._target), {"weight": 0, "bias": 0, "scale": 1}
        return {
            name: np.broadcast_to(np.full((), one[kind(name)]).astype(types[kind(name)]), shape)
            for name, shape in weight_shapes(self._name, model, H, I).items()
        }


def multiples_of(weights: str) -> tuple[int, int]:
    """Of H and I, that the kernels for these weights take."""
    return (TILE, BLOCK) if weights in MX_FORMATS else DENSE_MULTIPLES


def kind(argument: str) -> str:
    """`weight`, `scale` or `bias`, of an argument of `moe_cte`."""
    return argument.rsplit("_", 1)[1]


def weight_types(weights: str, target: str) -> dict[str, np.dtype[Any]]:
    """The type of each `kind` of argument."""
    bf16 = np.dtype(ml_dtypes.bfloat16)
    if weights in MX_FORMATS:
        return {"weight": MX_FORMATS[weights].packed, "scale": np.dtype(np.uint8), "bias": bf16}
    dense = {BF16: bf16, INT8: np.dtype(np.int8)}
    return {"weight": dense.get(weights, FP8_OF_TARGET[target]), "scale": np.dtype(np.float32), "bias": bf16}


def weight_shapes(weights: str, model: Model, H: int, I: int) -> Shapes:
    """Shapes of weights, scales and biases."""
    E, shapes = model.E, dense_weight_shapes(model, H, I)
    if weights in MX_FORMATS:
        return _mx_shapes(model, H, I)
    a_column: Shapes = {"gate_up_proj_scale": (E, 1, 2 * I), "down_proj_scale": (E, 1, H)}
    scales: dict[str, Shapes] = {
        BF16: {},
        INT8: a_column,
        "fp8-row": a_column,
        "fp8-block": dict(
            zip(
                ("gate_up_proj_scale", "down_proj_scale"),
                (block_scale_shapes(shapes[f"{which}_proj_weight"])[0] for which in ("gate_up", "down")),
                strict=True,
            )
        ),
        "fp8-static": {"gate_up_proj_scale": (E, 2, 1), "down_proj_scale": (E, 1)},
    }
    return shapes | scales[weights]


def _mx_shapes(model: Model, H: int, I: int) -> Shapes:
    E, n, tiles, width = model.E, H // TILE, ceil_div(I, TILE), min(PARTITIONS, I // QUARTERS)
    shapes: Shapes = {
        "gate_up_proj_weight": (E, PARTITIONS, 2, n, I),
        "down_proj_weight": (E, width, tiles, H),
        "gate_up_proj_scale": (E, PARTITIONS // RUN, 2, n, I),
        "down_proj_scale": (E, width // RUN, tiles, H),
    }
    if model.biases:
        shapes |= {"gate_and_up_proj_bias": (E, width, 2, tiles, QUARTERS), "down_proj_bias": (E, H)}
    return shapes


def padded(expert: Expert, H: int, I: int) -> Expert:
    """Zeros up to H and I: the last rank of several may hold less than its share."""
    missing_H, missing_I = H - expert.H, I - expert.I
    bias, down_bias = expert.gate_up_bias, expert.down_bias
    return Expert(
        np.pad(expert.gate_up, ((0, missing_H), (0, 0), (0, missing_I))),
        np.pad(expert.down, ((0, missing_I), (0, missing_H))),
        None if bias is None else np.pad(bias, ((0, 0), (0, missing_I))),
        None if down_bias is None else np.pad(down_bias, (0, missing_H)),
    )
