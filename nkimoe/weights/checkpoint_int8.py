# SPDX-License-Identifier: Apache-2.0
"""Experts that checkpoints store in int8. Codes and scales are taken as they are.

SeparateInt8Experts   N.gate_proj, N.up_proj int8 [I, H] and N.down_proj [H, I], or Mixtral's N.w1, N.w3 and N.w2, each
                      with a weight_scale [out, 1]; a weight_offset or weight_zero_point beside it is zero
FusedInt8Experts      w13_weight int8 [E, 2I, H], gate first, and w2_weight [E, H, I], with w13_weight_scale [E, 2I, 1]
                      and w2_weight_scale [E, H, 1]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError
from nkimoe.weights.checkpoint_experts import (
    LayerExperts,
    check_scales,
    check_separate,
    count_separate,
    present,
    projections,
    sizes_of_separate,
)
from nkimoe.weights.expert import Shard
from nkimoe.weights.int8_expert import CodedExpert
from nkimoe.weights.int8_scheme import Int8Scheme

_WEIGHT = re.compile(r"(?P<matrix>[0-9]{1,6}\.\w+\.weight|w(?:13|2)_weight)(?P<packed>_packed)?")
_PART = re.compile(r"(?:[0-9]{1,6}\.\w+\.weight|w(?:13|2)_weight)(?:_scale|_offset|_zero_point)?")
_REASONS = {
    "input_scale": "has activations that are quantised as they come: static scales are not read",
    "smooth": "has activations that are not smoothed at run time: factors are folded into the weights",
    "input_zero_point": "has symmetric codes of activations",
    "weight_packed": "has one code a byte: packed codes are not read",
}
_FIX = "Dequantise the checkpoint, or quantise it anew from bf16."


@dataclass(frozen=True, eq=False)
class Int8Experts(LayerExperts):
    """The int8 experts of one layer.

    Attributes:
        activation_quantization: of all of them, as `moe_cte` takes it.
    """

    activation_quantization: str | None = None

    def read(self, e: int) -> CodedExpert:
        """Expert e, whole."""
        raise NotImplementedError

    def _expert(self, gate_up: tuple[Array, Array], down: tuple[Array, Array]) -> CodedExpert:
        """Of codes [H, 2, I] and scales [2, I], and codes [I, H] and scales [H]."""
        return CodedExpert(
            gate_up[0], down[0], gate_up_scale=gate_up[1], down_scale=down[1],
            activation_quantization=self.activation_quantization,
        )  # fmt: skip


class SeparateInt8Experts(Int8Experts):
    """Three matrices an expert."""

    def __len__(self) -> int:
        return count_separate(self.tensors)

    @property
    def sizes(self) -> tuple[int, int]:
        return sizes_of_separate(self.tensors)

    def check(self) -> None:
        for name in (name for name in self.tensors if name.endswith(".weight")):
            _checked(name, self.tensors)
        check_separate(self.tensors)

    def read(self, e: int) -> CodedExpert:
        (gate, gate_scale), (up, up_scale), (down, down_scale) = (
            self._matrix(f"{e}.{name}.weight") for name in projections(self.tensors)
        )
        return self._expert((np.stack([gate.T, up.T], axis=1), np.stack([gate_scale, up_scale])), (down.T, down_scale))

    def _matrix(self, name: str) -> tuple[Array, Array]:
        """Codes [out, in] and scales [out]."""
        codes = _checked(name, self.tensors)
        return codes, _scales(f"{name}_scale", self.tensors, codes.shape[:1])


class FusedInt8Experts(Int8Experts):
    """One tensor for all experts."""

    def __len__(self) -> int:
        return len(self.tensors["w2_weight"])

    @property
    def sizes(self) -> tuple[int, int]:
        _, H, I = self.tensors["w2_weight"].shape
        return H, I

    def check(self) -> None:
        gate_up, down = (_checked(name, self.tensors) for name in ("w13_weight", "w2_weight"))
        rule = "is [E, 2I, H] with w2_weight [E, H, I]"
        if down.ndim != 3 or gate_up.shape != (len(down), 2 * down.shape[2], down.shape[1]):
            raise InputError("experts.w13_weight", rule, f"{gate_up.shape} with {down.shape}", "Check the files.")

    def read(self, e: int) -> CodedExpert:
        E, (H, I) = len(self), self.sizes
        gate_up_scale = _scales("w13_weight_scale", self.tensors, (E, 2 * I))[e]
        down_scale = _scales("w2_weight_scale", self.tensors, (E, H))[e]
        columns = self.tensors["w13_weight"][e].reshape(2, I, H).transpose(2, 0, 1)
        return self._expert((columns, gate_up_scale.reshape(2, I)), (self.tensors["w2_weight"][e].T, down_scale))


def holds_integers(tensors: Mapping[str, Array]) -> bool:
    """Whether the weights of a layer, by what follows `experts.`, are integers."""
    return any(_WEIGHT.fullmatch(name) and np.issubdtype(t.dtype, np.integer) for name, t in tensors.items())


def int8_experts(tensors: Mapping[str, Array], share: Shard, prefix: str, scheme: Int8Scheme) -> Int8Experts:
    """The experts of a layer whose tensors' names start with `prefix`.

    Raises:
        InputError: they are described in a way that is not read, or hold what is not.
    """
    matrices = [found["matrix"] for found in map(_WEIGHT.fullmatch, tensors) if found]
    uses = {scheme.activation_quantization(f"{prefix}.{name}") for name in matrices}
    if len(uses) > 1:
        raise InputError(prefix, "quantises the activations of all its experts, or none", "some", _FIX)
    for name in tensors:
        if not _PART.fullmatch(name):
            rules = [rule for part, rule in _REASONS.items() if part in name]
            raise InputError(f"experts.{name}", (rules or ["is a weight or its scale"])[0], "this tensor", _FIX)
    if all(name[0].isdigit() for name in tensors):
        return SeparateInt8Experts(tensors, share, uses.pop())
    for name in ("w13_weight", "w2_weight"):
        present(tensors, name)
    return FusedInt8Experts(tensors, share, uses.pop())


def _checked(name: str, tensors: Mapping[str, Array]) -> Array:
    """The codes of that name, int8 and symmetric."""
    codes = present(tensors, name)
    for part in ("_offset", "_zero_point"):
        if np.any(tensors.get(f"{name}{part}", 0)):
            raise InputError(f"experts.{name}{part}", "is zero: codes are symmetric", "others", _FIX)
    if codes.dtype != np.int8:
        raise InputError(f"experts.{name}", "is int8 codes, as all weights of the layer", f"{codes.dtype} codes", _FIX)
    return codes


def _scales(name: str, tensors: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
    """A scale a channel, float32, from `shape` or that with a 1 behind it."""
    scale = present(tensors, name)
    if scale.shape not in (shape, (*shape, 1)):
        rule = f"has a scale for every output channel, {(*shape, 1)}"
        raise InputError(f"experts.{name}", rule, scale.shape, f"Other groups are not read. {_FIX}")
    check_scales(name, scale)
    return scale.astype(np.float32).reshape(shape)
