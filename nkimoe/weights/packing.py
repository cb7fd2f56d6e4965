# SPDX-License-Identifier: Apache-2.0
"""Packing of whole layers: a packing turns one expert into tensors, and the layer is the stack of its experts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import RequestError
from nkimoe.weights.expert import Expert, crop, pad_to_tiles
from nkimoe.weights.fp8 import FP8_OF_TARGET, Fp8Row, Fp8Static
from nkimoe.weights.fp8_blocks import Fp8Block
from nkimoe.weights.host_array import host_array
from nkimoe.weights.int8 import Int8
from nkimoe.weights.mx import Mx
from nkimoe.weights.output_blocks import Fp8OutputBlock

Progress = Callable[[int, int], None]


class Packing(Protocol):
    """A weight format of the kernel."""

    def pack_expert(self, expert: Expert) -> dict[str, Array]:
        """One expert's arguments of `moe_cte`, each without its E axis."""

    def unpack_expert(self, tensors: Mapping[str, Array], H: int, I: int) -> Expert:
        """What the kernel computes with, in float32 or the packed dtype, without padding."""


@dataclass(frozen=True)
class Plain:
    """Unquantised weights, H and I padded to multiples of 128 and 16."""

    dtype: Any = ml_dtypes.bfloat16

    def pack_expert(self, expert: Expert) -> dict[str, Array]:
        """One expert's arguments of `moe_cte`, each without its E axis."""
        padded = pad_to_tiles(expert)
        named = {"gate_up_proj_weight": padded.gate_up, "down_proj_weight": padded.down, **padded.biases()}
        return {name: tensor.astype(self.dtype) for name, tensor in named.items()}

    def unpack_expert(self, tensors: Mapping[str, Array], H: int, I: int) -> Expert:
        """The expert without padding."""
        bias, down_bias = tensors.get("gate_and_up_proj_bias"), tensors.get("down_proj_bias")
        return crop(Expert(tensors["gate_up_proj_weight"], tensors["down_proj_weight"], bias, down_bias), H, I)


_PACKINGS: dict[str, Callable[[str], Packing]] = {
    "bf16": lambda target: Plain(),
    "fp8-row": lambda target: Fp8Row(FP8_OF_TARGET[target]),
    "fp8-block": lambda target: Fp8Block(FP8_OF_TARGET[target]),
    "fp8-output-block": lambda target: Fp8OutputBlock(FP8_OF_TARGET[target]),
    "fp8-static": lambda target: Fp8Static(FP8_OF_TARGET[target]),
    "int8": lambda target: Int8(),
    "mxfp8": lambda target: Mx("mxfp8"),
    "mxfp8-e5m2": lambda target: Mx("mxfp8-e5m2"),
    "mxfp4": lambda target: Mx("mxfp4"),
}
PACKING_NAMES = tuple(_PACKINGS)
"""What `packing_named` takes."""


def packing_named(name: str, target: str = "trn2") -> Packing:
    """A packing by name; `target` decides the FP8 type.

    Raises:
        RequestError: no such packing or target.
    """
    for argument, value, known in (("name", name, _PACKINGS), ("target", target, FP8_OF_TARGET)):
        if value not in known:
            raise RequestError(argument, f"is one of {', '.join(known)}", repr(value), "Choose one of these.")
    return _PACKINGS[name](target)


def experts_of(
    gate_up_proj_weight: Any, down_proj_weight: Any, gate_and_up_proj_bias: Any = None, down_proj_bias: Any = None
) -> list[Expert]:
    """The experts of plain weights, as views.

    gate_up_proj_weight [E, H, 2, I], down_proj_weight [E, I, H], gate_and_up_proj_bias [E, 2, I], down_proj_bias [E, H]
    or [E, 1, H]: arrays or torch CPU tensors of any float dtype.

    Raises:
        RequestError: the shapes do not agree.
    """
    named = {
        "gate_up_proj_weight": gate_up_proj_weight,
        "down_proj_weight": down_proj_weight,
        "gate_and_up_proj_bias": gate_and_up_proj_bias,
        "down_proj_bias": down_proj_bias,
    }
    given = {name: host_array(name, value) for name, value in named.items() if value is not None}
    if given["down_proj_weight"].ndim != 3:
        actual = given["down_proj_weight"].shape
        raise RequestError("down_proj_weight", "has shape [E, I, H]", actual, "Transpose or split it.")
    E, I, H = given["down_proj_weight"].shape
    shapes = dict(zip(named, ((E, H, 2, I), (E, I, H), (E, 2, I), (E, H)), strict=True))
    for name, tensor in given.items():
        if tensor.size != math.prod(shapes[name]) or (tensor.shape != shapes[name] and name != "down_proj_bias"):
            raise RequestError(name, f"has shape {shapes[name]}", tensor.shape, "Transpose or split it.")
    bias, down_bias = given.get("gate_and_up_proj_bias"), given.get("down_proj_bias")
    return [
        Expert(
            given["gate_up_proj_weight"][e],
            given["down_proj_weight"][e],
            None if bias is None else bias[e],
            None if down_bias is None else down_bias[e].reshape(H),
        )
        for e in range(E)
    ]


def pack(experts: Sequence[Expert], packing: Packing, progress: Progress | None = None) -> dict[str, Array]:
    """Arguments of `moe_cte` for a layer, converted one expert at a time into tensors made once.

    `progress(done, E)` is called after each expert.

    Raises:
        RequestError: there is no expert.
    """
    if not len(experts):
        raise RequestError("experts", "are at least one", 0, "Pass the experts of a layer.")
    tensors: dict[str, Array] = {}
    for e, expert in enumerate(experts):
        packed = packing.pack_expert(expert)
        tensors = tensors or {name: np.empty((len(experts), *part.shape), part.dtype) for name, part in packed.items()}
        for name, part in packed.items():
            tensors[name][e] = part
        if progress is not None:
            progress(e + 1, len(experts))
    return tensors


def unpack(tensors: Mapping[str, Array], packing: Packing, H: int, I: int) -> list[Expert]:
    """The experts as the kernel computes with them; the inverse of `pack` but for rounding."""
    E = len(tensors["down_proj_weight"])
    return [packing.unpack_expert({name: t[e] for name, t in tensors.items()}, H, I) for e in range(E)]
