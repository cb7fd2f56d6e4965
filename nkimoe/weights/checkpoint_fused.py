# SPDX-License-Identifier: Apache-2.0
"""Experts that checkpoints store in one tensor for all.

FusedExperts      gate_up_proj [E, 2I, H], gate first, and down_proj [E, H, I]; or gpt-oss's [E, H, 2I], gate and up
                  alternating, with [E, I, H] and biases [E, 2I], [E, H]
Mxfp4Experts      gpt-oss: _blocks [E, 2I, H/32, 16] and [E, H, I/32, 16] of uint8 with _scales, and biases
"""

from __future__ import annotations

from collections.abc import Mapping

from nkimoe.arrays import Array
from nkimoe.errors import InputError
from nkimoe.weights.checkpoint_experts import FLOATS, LayerExperts
from nkimoe.weights.expert import Expert
from nkimoe.weights.mxfp4_expert import Mxfp4Expert, decode_blocks

_CHECK = "Check the files."
_BIASES = ("gate_up_proj_bias", "down_proj_bias")


class FusedExperts(LayerExperts):
    """Plain weights; the shapes say which of the two orders they have."""

    def __len__(self) -> int:
        return len(self.tensors["down_proj"])

    @property
    def sizes(self) -> tuple[int, int]:
        _, rows, columns = self.tensors["down_proj"].shape
        return (columns, rows) if self._alternates else (rows, columns)

    @property
    def _alternates(self) -> bool:
        _, rows, columns = self.tensors["down_proj"].shape
        return self.tensors["gate_up_proj"].shape[1:] == (columns, 2 * rows)

    def check(self) -> None:
        gate_up, down = self.tensors["gate_up_proj"], self.tensors["down_proj"]
        shapes = f"{gate_up.shape} with {down.shape}"
        rule = "is [E, 2I, H] with down_proj [E, H, I], or [E, H, 2I] with [E, I, H]"
        if (gate_up.ndim, down.ndim) != (3, 3) or len(gate_up) != len(down):
            raise InputError("experts.gate_up_proj", rule, shapes, _CHECK)
        if not self._alternates and gate_up.shape[1:] != (2 * down.shape[2], down.shape[1]):
            raise InputError("experts.gate_up_proj", rule, shapes, _CHECK)
        for name, tensor in self.tensors.items():
            if tensor.dtype not in FLOATS:
                raise InputError(f"experts.{name}", "is bf16, fp16 or fp32", tensor.dtype, "Dequantise it.")
        if gate_up.dtype != down.dtype:
            raise InputError("experts.gate_up_proj", f"is {down.dtype} like down_proj", gate_up.dtype, _CHECK)
        if not self._alternates and any(name in self.tensors for name in _BIASES):
            raise InputError("experts.gate_up_proj", "is [E, H, 2I], as it has a bias", gate_up.shape, _CHECK)
        _check_biases(self.tensors, len(self), *self.sizes)

    def read(self, e: int) -> Expert:
        gate_up, down = self.tensors["gate_up_proj"][e], self.tensors["down_proj"][e]
        H, I = self.sizes
        if self._alternates:
            return Expert(gate_up.reshape(H, I, 2).transpose(0, 2, 1), down, *_biases(self.tensors, e))
        return Expert(gate_up.reshape(2, I, H).transpose(2, 0, 1), down.T)


class Mxfp4Experts(LayerExperts):
    """gpt-oss as published: blocks of 32 values along the input of each projection."""

    def __len__(self) -> int:
        return len(self.tensors["down_proj_blocks"])

    @property
    def sizes(self) -> tuple[int, int]:
        _, H, blocks, _ = self.tensors["down_proj_blocks"].shape
        return H, 32 * blocks

    def check(self) -> None:
        gate_up, down = self.tensors["gate_up_proj_blocks"], self.tensors["down_proj_blocks"]
        shapes = f"{gate_up.shape} with {down.shape}"
        rule = "are [E, 2I, H/32, 16] with down_proj_blocks [E, H, I/32, 16]"
        if (gate_up.ndim, down.ndim) != (4, 4):
            raise InputError("experts.gate_up_proj_blocks", rule, shapes, _CHECK)
        H, I = self.sizes
        if H % 32 or gate_up.shape != (len(self), 2 * I, H // 32, 16):
            raise InputError("experts.gate_up_proj_blocks", rule, shapes, _CHECK)
        for name in ("gate_up_proj", "down_proj"):
            scales, wanted = self.tensors[f"{name}_scales"], self.tensors[f"{name}_blocks"].shape[:-1]
            if scales.shape != wanted:
                rule = f"have a scale for every block, {wanted}"
                raise InputError(f"experts.{name}_scales", rule, scales.shape, _CHECK)
        _check_biases(self.tensors, len(self), H, I)

    def read(self, e: int) -> Mxfp4Expert:
        gate_up, gate_up_scale, down, down_scale = (
            part
            for name in ("gate_up_proj", "down_proj")
            for part in decode_blocks(
                f"experts.{name}", self.tensors[f"{name}_blocks"][e], self.tensors[f"{name}_scales"][e]
            )
        )
        gate_up, gate_up_scale = (part.reshape(len(part), -1, 2).swapaxes(1, 2) for part in (gate_up, gate_up_scale))
        bias, down_bias = _biases(self.tensors, e)
        return Mxfp4Expert(gate_up, down, bias, down_bias, gate_up_scale=gate_up_scale, down_scale=down_scale)


def _check_biases(tensors: Mapping[str, Array], E: int, H: int, I: int) -> None:
    """Both, each a float for every output of its projection, or neither."""
    given = [name for name in _BIASES if name in tensors]
    if len(given) == 1:
        raise InputError(f"experts.{given[0]}", f"comes with {' and '.join(_BIASES)}", "one of them", _CHECK)
    for name, wanted in zip(given, ((E, 2 * I), (E, H)), strict=False):
        bias = tensors[name]
        if bias.shape != wanted or bias.dtype not in FLOATS:
            raise InputError(f"experts.{name}", f"is floats {wanted}", f"{bias.dtype} {bias.shape}", _CHECK)


def _biases(tensors: Mapping[str, Array], e: int) -> tuple[Array | None, Array | None]:
    """Gate and up [2, I] of an alternating [2I], and down [H]."""
    bias, down_bias = (tensors.get(name) for name in _BIASES)
    return None if bias is None else bias[e].reshape(-1, 2).T, None if down_bias is None else down_bias[e]
