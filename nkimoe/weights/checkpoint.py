# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face checkpoint: a folder of safetensors files, of which the experts and routers are read.

Known names: Qwen2-, Qwen3-MoE, OLMoE, DeepSeek-V2/V3, GLM-4.5, Kimi-K2 and others with `mlp.experts.N`; Mixtral with
`block_sparse_moe.experts.N`; gpt-oss in bf16 and in MXFP4; layers saved with fused experts; int8 experts as
compressed-tensors, SGLang and Ascend write them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError, RequestError
from nkimoe.weights.checkpoint_experts import LayerExperts, SeparateExperts
from nkimoe.weights.checkpoint_files import ALL_FILES, files_of_tensors
from nkimoe.weights.checkpoint_fused import FusedExperts, Mxfp4Experts
from nkimoe.weights.checkpoint_int8 import holds_integers, int8_experts
from nkimoe.weights.declared_sizes import DeclaredSizes
from nkimoe.weights.expert import WHOLE, Shard
from nkimoe.weights.int8_scheme import Int8Scheme
from nkimoe.weights.safetensors_file import open_tensors

_EXPERTS = re.compile(
    r"(?P<block>(?:(?:model|language_model)\.)*layers\.(?P<layer>0|[1-9][0-9]{0,5})\.(?:mlp|block_sparse_moe))\.experts\.(?P<rest>.+)"
)
_ROUTERS = ("gate.weight", "router.weight", "gate.wg.weight", "router.classifier.weight")
_SEPARATE = re.compile(r"[0-9]{1,6}\.(?:(?:gate|up|down)_proj|w[123])\.weight(?:_scale(?:_inv)?)?")
_FUSED = {"gate_up_proj", "down_proj", "gate_up_proj_bias", "down_proj_bias"}
_MXFP4 = {f"{name}_{part}" for name in ("gate_up_proj", "down_proj") for part in ("blocks", "scales", "bias")}


@dataclass(frozen=True, eq=False)
class Router:
    """A layer's router.

    Attributes:
        weight: [H, E]; logits = x @ weight + bias.
        bias: [E] or None.
        selection_bias: [E] or None: added to the scores that choose experts, not to their weights (DeepSeek-V3).
    """

    weight: Array
    bias: Array | None = None
    selection_bias: Array | None = None


class Checkpoint:
    """One checkpoint. Opening it reads names and sizes; tensors are mapped when used.

    Args:
        folder: holds a config.json and one or more `.safetensors` files, with an index if there are several.

    Raises:
        InputError: one of these files is missing or damaged, or they disagree with each other; or no layer has experts
            in a known form.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._file_of = files_of_tensors(self.folder)
        self._sizes = DeclaredSizes.of(self.folder)
        self._int8 = Int8Scheme(self.folder)
        self._open: dict[str, dict[str, Array]] = {}
        self._names: dict[int, dict[str, str]] = defaultdict(dict)
        self._blocks: dict[int, str] = {}
        for name in self._file_of:
            if found := _EXPERTS.fullmatch(name):
                self._enter(int(found["layer"]), found["block"], found["rest"], name)
        if not self._names:
            actual = f"{len(self._file_of)} tensors, such as {', '.join([*self._file_of][:3])}"
            fix = "Known names are listed in docs/weights.md."
            raise InputError(self.folder.name, "has experts named `layers.N.mlp.experts...`", actual, fix)
        self._sizes.check_layers(self._file_of)

    def _enter(self, layer: int, block: str, rest: str, name: str) -> None:
        if self._blocks.setdefault(layer, block) != block:
            actual = f"{self._blocks[layer]} and {block}"
            raise InputError(self.folder.name, f"has experts of layer {layer} in one place", actual, "Remove one.")
        self._names[layer][rest] = name

    @property
    def layers(self) -> list[int]:
        """Numbers of the layers that have experts."""
        return sorted(self._names)

    @property
    def names(self) -> list[str]:
        """Full names of all tensors, of experts or not."""
        return list(self._file_of)

    def tensor(self, name: str) -> Array:
        """One tensor by its full name, a view of the file."""
        file = self._file_of[name]
        if file not in self._open:
            self._open[file] = open_tensors(self.folder / file)
        return self._open[file][name]

    def close(self) -> None:
        """Let go of the files mapped so far; tensors that were handed out stay valid."""
        self._open.clear()

    def experts(self, layer: int, share: Shard = WHOLE) -> LayerExperts:
        """The experts of a layer, each cut to a rank's share of I.

        Raises:
            RequestError: the layer has no experts. InputError: it stores them in no known form, or not as many of one
                shape and type as config.json or the router says.
        """
        names = self._names[self._known(layer)]
        experts = self._in_their_form(layer, {rest: self.tensor(name) for rest, name in names.items()}, share)
        experts.check()
        self._sizes.check_experts(f"{self._blocks[layer]}.experts", len(experts), *experts.sizes, self._rows(layer))
        return experts

    def _in_their_form(self, layer: int, tensors: dict[str, Array], share: Shard) -> LayerExperts:
        if holds_integers(tensors):
            return int8_experts(tensors, share, f"{self._blocks[layer]}.experts", self._int8)
        for kind, required in (
            (FusedExperts, {"gate_up_proj", "down_proj"} if set(tensors) <= _FUSED else None),
            (Mxfp4Experts, _MXFP4 - {"gate_up_proj_bias", "down_proj_bias"} if set(tensors) <= _MXFP4 else None),
            (SeparateExperts, set[str]() if all(map(_SEPARATE.fullmatch, tensors)) else None),
        ):
            if required is not None and required <= set(tensors):
                return kind(tensors, share)
        odd = [name for name in tensors if not _SEPARATE.fullmatch(name) and name not in _FUSED | _MXFP4]
        actual = ", ".join(sorted(odd or tensors)[:4])
        fix = "Known forms are listed in docs/weights.md."
        raise InputError(f"{self._blocks[layer]}.experts", "are separate, fused or in MXFP4 blocks", actual, fix)

    def _rows(self, layer: int) -> int | None:
        """How many experts the layer's router chooses from."""
        found = self._name_of(layer, *_ROUTERS)
        return None if found is None else len(self.tensor(found))

    def router(self, layer: int) -> Router:
        """The router of a layer, in float32.

        Raises:
            RequestError: the layer has no experts. InputError: no router stands beside them.
        """
        weight = self._first(self._known(layer), *_ROUTERS)
        if weight is None:
            actual = f"none of {', '.join(_ROUTERS)}"
            raise InputError(self._blocks[layer], "has a router beside its experts", actual, ALL_FILES)
        if weight.ndim != 2:
            raise InputError(f"{self._blocks[layer]}: router", "is a matrix [E, H]", weight.shape, ALL_FILES)
        bias = self._first(layer, "gate.bias", "router.bias")
        return Router(weight.T, bias, self._first(layer, "gate.e_score_correction_bias"))

    def _first(self, layer: int, *names: str) -> Array | None:
        found = self._name_of(layer, *names)
        return None if found is None else self.tensor(found).astype(np.float32)

    def _name_of(self, layer: int, *names: str) -> str | None:
        """The full name of the first of these tensors that stands beside the layer's experts."""
        full = (f"{self._blocks[layer]}.{name}" for name in names)
        return next((name for name in full if name in self._file_of), None)

    def _known(self, layer: int) -> int:
        if layer not in self._names:
            raise RequestError("layer", f"is one with experts: {_ranges(self.layers)}", layer, "Choose one of these.")
        return layer


def _ranges(numbers: list[int]) -> str:
    """`0, 3-5` of [0, 3, 4, 5]."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
