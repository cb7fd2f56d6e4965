# SPDX-License-Identifier: Apache-2.0
"""How checkpoints store a layer's experts, each as a sequence of `Expert` read when asked for.

SeparateExperts   N.gate_proj, N.up_proj [I, H] and N.down_proj [H, I], or Mixtral's N.w1, N.w3 and N.w2
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError
from nkimoe.json_object import DOWNLOAD
from nkimoe.planning.tiling import ceil_div
from nkimoe.weights.block_scales import spread_blocks
from nkimoe.weights.expert import WHOLE, Expert, Shard
from nkimoe.weights.fp8_blocks import SIZE, Fp8BlockExpert

FLOATS = tuple(map(np.dtype, (ml_dtypes.bfloat16, np.float16, np.float32, np.float64)))
_FP8 = tuple(map(np.dtype, (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2)))


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

    @property
    def sizes(self) -> tuple[int, int]:
        """(H, I) of each expert, whole."""
        raise NotImplementedError

    def check(self) -> None:
        """Raises InputError unless every expert is there, and of the shape and type of the others."""
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
        return count_separate(self.tensors)

    @property
    def sizes(self) -> tuple[int, int]:
        return sizes_of_separate(self.tensors)

    def check(self) -> None:
        dtype = check_separate(self.tensors)
        if dtype not in (*FLOATS, *_FP8):
            raise InputError("experts", f"have weights of {_listed((*FLOATS, *_FP8))}", dtype, "Convert them.")

    def read(self, e: int) -> Expert:
        matrices = [f"{e}.{name}.weight" for name in projections(self.tensors)]
        scales = [self._block_scales(matrix) for matrix in matrices]
        has_blocks = all(scale is not None for scale in scales)
        gate, up, down = (self.tensors[matrix] if has_blocks else self._matrix(matrix) for matrix in matrices)
        weights = np.stack([gate.T, up.T], axis=1), down.T
        if not has_blocks:
            return Expert(*weights)
        gate_scale, up_scale, down_scale = (np.asarray(scale, np.float32).T for scale in scales)
        return Fp8BlockExpert(*weights, gate_up_scale=np.stack([gate_scale, up_scale], axis=1), down_scale=down_scale)

    def _block_scales(self, name: str) -> Array | None:
        """Of a float8_e4m3fn matrix, if its scales are of blocks."""
        weight, blocks = self.tensors[name], self.tensors.get(f"{name}_scale_inv")
        if blocks is None or weight.dtype != ml_dtypes.float8_e4m3fn:
            return None
        _check_blocks(name, blocks, weight.shape)
        return blocks

    def _matrix(self, name: str) -> Array:
        weight = self.tensors[name]
        if weight.dtype.itemsize > 1:
            return weight
        blocks, channels = self.tensors.get(f"{name}_scale_inv"), self.tensors.get(f"{name}_scale")
        if blocks is not None:
            _check_blocks(name, blocks, weight.shape)
            return weight.astype(np.float32) * spread_blocks(blocks, weight.shape, SIZE).astype(np.float32)
        if channels is None:
            rule = "has a scale, as it is fp8"
            raise InputError(f"experts.{name}", rule, "neither _scale_inv nor _scale", "Download all the files.")
        rows = len(weight)
        if channels.shape not in ((), (1,), (1, 1), (rows,), (rows, 1)):
            rule = f"has a scale of all or for each of {rows} output channels"
            raise InputError(f"experts.{name}_scale", rule, channels.shape, "Other scales are not read: dequantise it.")
        check_scales(f"{name}_scale", channels)
        return weight.astype(np.float32) * channels.astype(np.float32).reshape(-1, 1)


def count_separate(tensors: Mapping[str, Array]) -> int:
    """Experts by the highest of their numbers."""
    return 1 + max(int(name.split(".")[0]) for name in tensors)


def sizes_of_separate(tensors: Mapping[str, Array]) -> tuple[int, int]:
    """(H, I) by the down projection of the first expert."""
    H, I = tensors[f"0.{projections(tensors)[2]}.weight"].shape
    return H, I


def check_separate(tensors: Mapping[str, Array]) -> np.dtype[Any]:
    """The type of the matrices of separate experts.

    Raises:
        InputError: one is missing, or of another shape or type than that of the first expert; or there are more.
    """
    names, E = projections(tensors), count_separate(tensors)
    if len(tensors) < E:  # a number out of the blue
        raise InputError("experts", "are numbered from 0 on", f"expert {E - 1} in {len(tensors)} tensors", DOWNLOAD)
    wanted = None
    for e in range(E):
        gate, up, down = matrices = [present(tensors, f"{e}.{name}.weight") for name in names]
        if down.ndim != 2 or gate.shape != up.shape or down.shape != gate.shape[::-1]:
            actual = f"{gate.shape}, {up.shape}, {down.shape}"
            raise InputError(f"experts.{e}", "has gate, up [I, H] and down [H, I]", actual, "Check the files.")
        found = [(matrix.shape, matrix.dtype) for matrix in matrices]
        wanted = wanted or [(matrix.shape, gate.dtype) for matrix in matrices]
        if found != wanted:
            shown = [" and ".join(f"{dtype} {shape}" for shape, dtype in these) for these in (wanted, found)]
            raise InputError(f"experts.{e}", f"is like the first expert, {shown[0]}", shown[1], "Check the files.")
    more = [name for name in tensors if name.endswith(".weight")]
    if len(more) != E * len(names):
        raise InputError("experts", f"have {E * len(names)} matrices", len(more), "Check the files.")
    return gate.dtype


def present(tensors: Mapping[str, Array], name: str) -> Array:
    """A layer's tensor by what follows `experts.` in its name; raises InputError if there is none."""
    if name not in tensors:
        raise InputError(f"experts.{name}", "is in the checkpoint", "no such tensor", "Download all its files.")
    return tensors[name]


def projections(tensors: Mapping[str, Array]) -> tuple[str, str, str]:
    """What separate experts call gate, up and down."""
    is_mixtral = any(name.endswith((".w1.weight", ".w2.weight", ".w3.weight")) for name in tensors)
    return ("w1", "w3", "w2") if is_mixtral else ("gate_proj", "up_proj", "down_proj")


def check_scales(name: str, scales: Array) -> None:
    """Raises InputError unless scales are finite floats."""
    if scales.dtype not in (*FLOATS, np.dtype(ml_dtypes.float8_e8m0fnu)):
        raise InputError(f"experts.{name}", f"has a type of {_listed(FLOATS)} or e8m0", scales.dtype, "Convert it.")
    if not np.isfinite(scales.astype(np.float32)).all():
        raise InputError(f"experts.{name}", "is finite", "NaN or infinity", "Repair the checkpoint.")


def _listed(dtypes: Iterable[np.dtype[Any]]) -> str:
    return ", ".join(map(str, dtypes))


def _check_blocks(name: str, blocks: Array, shape: tuple[int, ...]) -> None:
    grid = tuple(ceil_div(n, SIZE) for n in shape)
    if blocks.shape != grid:
        rule = f"has a scale for every {SIZE} x {SIZE}, {grid}"
        raise InputError(f"experts.{name}", rule, blocks.shape, "Other blocks are not supported: dequantise it.")
    check_scales(f"{name}_scale_inv", blocks)
