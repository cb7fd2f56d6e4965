"""How checkpoints store a layer's experts, each as a sequence of `Expert` read when asked for.

SeparateExperts   N.gate_proj, N.up_proj [I, H] and N.down_proj [H, I], or Mixtral's N.w1, N.w3 and N.w2
FusedExperts      gate_up_proj [E, 2I, H], gate first, and down_proj [E, H, I]; or gpt-oss's [E, H, 2I], gate and up
                  alternating, with [E, I, H] and biases [E, 2I], [E, H]
Mxfp4Experts      gpt-oss: _blocks [E, 2I, H/32, 16] and [E, H, I/32, 16] of uint8 with _scales, and biases
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError
from nkimoe.planning.tiling import ceil_div
from nkimoe.weights.block_scales import spread_blocks
from nkimoe.weights.expert import WHOLE, Expert, Shard
from nkimoe.weights.fp8_blocks import SIZE, Fp8BlockExpert
from nkimoe.weights.mxfp4_expert import Mxfp4Expert, decode_blocks


@dataclass(frozen=True, eq=False)
class LayerExperts(Sequence[Expert]):
    """The experts of one layer.

    Attributes:
        tensors: the layer's tensors, by what follows `experts.` in their name.
        share: which part of I each expert is cut to.
    """

    tensors: Mapping[str, Array]
    share: Shard = WHOLE

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, e: int) -> Expert:
        """Expert e, whole."""
        raise NotImplementedError

    @overload
    def __getitem__(self, e: int) -> Expert: ...
    @overload
    def __getitem__(self, e: slice) -> Sequence[Expert]: ...
    def __getitem__(self, e: int | slice) -> Expert | Sequence[Expert]:
        if isinstance(e, slice):
            return [self[i] for i in range(*e.indices(len(self)))]
        if not -len(self) <= e < len(self):
            raise IndexError(f"expert {e} of {len(self)}")
        return self.read(e % len(self)).shard(self.share)


class SeparateExperts(LayerExperts):
    """Three matrices an expert."""

    def __len__(self) -> int:
        return 1 + max(int(name.split(".")[0]) for name in self.tensors)

    def read(self, e: int) -> Expert:
        matrices = [f"{e}.{name}.weight" for name in projections(self.tensors, e)]
        scales = [self._block_scales(matrix) for matrix in matrices]
        has_blocks = all(scale is not None for scale in scales)
        gate, up, down = (self.tensors[matrix] if has_blocks else self._matrix(matrix) for matrix in matrices)
        check_shapes(e, gate, up, down)
        weights = np.stack([gate.T, up.T], axis=1), down.T
        if not has_blocks:
            return Expert(*weights)
        gate_scale, up_scale, down_scale = (np.asarray(scale, np.float32).T for scale in scales)
        return Fp8BlockExpert(*weights, gate_up_scale=np.stack([gate_scale, up_scale], axis=1), down_scale=down_scale)

    def _block_scales(self, name: str) -> Array | None:
        """Of a float8_e4m3fn matrix, if its scales are of blocks."""
        weight, blocks = self.tensors.get(name), self.tensors.get(f"{name}_scale_inv")
        if weight is None or blocks is None or weight.dtype != ml_dtypes.float8_e4m3fn:
            return None
        _check_blocks(name, blocks, weight.shape)
        return blocks

    def _matrix(self, name: str) -> Array:
        if name not in self.tensors:
            raise InputError(f"experts.{name}", "is in the checkpoint", "no such tensor", "Download all its files.")
        weight = self.tensors[name]
        if weight.dtype.itemsize > 1:
            return weight
        blocks, channels = self.tensors.get(f"{name}_scale_inv"), self.tensors.get(f"{name}_scale")
        if blocks is not None:
            _check_blocks(name, blocks, weight.shape)
        scale = channels if blocks is None else spread_blocks(blocks, weight.shape, SIZE)
        if scale is None:
            fix = "Download all the files."
            raise InputError(f"experts.{name}", "has a scale, as it is fp8", "neither _scale_inv nor _scale", fix)
        scale = scale.astype(np.float32)
        return weight.astype(np.float32) * (scale[:, None] if scale.ndim == 1 and scale.size > 1 else scale)


def projections(tensors: Mapping[str, Array], e: int) -> tuple[str, str, str]:
    """The names of gate, up and down of expert e."""
    return ("w1", "w3", "w2") if f"{e}.w1.weight" in tensors else ("gate_proj", "up_proj", "down_proj")


def check_shapes(e: int, gate: Array, up: Array, down: Array) -> None:
    """Raises InputError unless the matrices of expert e, as stored, belong together."""
    if gate.shape != up.shape or down.shape != gate.shape[::-1]:
        actual = f"{gate.shape}, {up.shape}, {down.shape}"
        raise InputError(f"experts.{e}", "has gate, up [I, H] and down [H, I]", actual, "Check the files.")


def _check_blocks(name: str, blocks: Array, shape: tuple[int, ...]) -> None:
    grid = tuple(ceil_div(n, SIZE) for n in shape)
    if blocks.shape != grid:
        rule = f"has a scale for every {SIZE} x {SIZE}, {grid}"
        raise InputError(f"experts.{name}", rule, blocks.shape, "Other blocks are not supported: dequantise it.")


class FusedExperts(LayerExperts):
    """One tensor for all experts; the shapes say which of the two orders it has."""

    def __len__(self) -> int:
        return len(self.tensors["down_proj"])

    def read(self, e: int) -> Expert:
        gate_up, down = self.tensors["gate_up_proj"], self.tensors["down_proj"]
        (_, a, b), (_, c, d) = gate_up.shape, down.shape
        if gate_up.dtype.itemsize == 1:
            raise InputError("experts.gate_up_proj", "is bf16, fp16 or fp32", gate_up.dtype, "Dequantise it.")
        if (a, b) == (2 * d, c):  # [E, 2I, H], gate first
            return Expert(gate_up[e].reshape(2, d, c).transpose(2, 0, 1), down[e].T)
        if (a, b) == (d, 2 * c):  # [E, H, 2I], alternating
            return Expert(gate_up[e].reshape(d, c, 2).transpose(0, 2, 1), down[e], *_biases(self.tensors, e))
        rule = "is [E, 2I, H] with down_proj [E, H, I], or [E, H, 2I] with [E, I, H]"
        raise InputError("experts.gate_up_proj", rule, f"{gate_up.shape} with {down.shape}", "Check the files.")


class Mxfp4Experts(LayerExperts):
    """gpt-oss as published: blocks of 32 values along the input of each projection."""

    def __len__(self) -> int:
        return len(self.tensors["down_proj_blocks"])

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


def _biases(tensors: Mapping[str, Array], e: int) -> tuple[Array | None, Array | None]:
    """Gate and up [2, I] of an alternating [2I], and down [H]."""
    bias, down_bias = tensors.get("gate_up_proj_bias"), tensors.get("down_proj_bias")
    return None if bias is None else bias[e].reshape(-1, 2).T, None if down_bias is None else down_bias[e]
