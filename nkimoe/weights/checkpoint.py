"""A Hugging Face checkpoint: a folder of safetensors files, of which the experts and routers are read.

Known names: Qwen2-, Qwen3-MoE, OLMoE, DeepSeek-V2/V3, GLM-4.5, Kimi-K2 and others with `mlp.experts.N`; Mixtral with
`block_sparse_moe.experts.N`; gpt-oss in bf16 and in MXFP4; layers saved with fused experts; int8 experts as
compressed-tensors, SGLang and Ascend write them.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError, RequestError
from nkimoe.weights.checkpoint_experts import FusedExperts, LayerExperts, Mxfp4Experts, SeparateExperts
from nkimoe.weights.checkpoint_int8 import holds_integers, int8_experts
from nkimoe.weights.expert import WHOLE, Shard
from nkimoe.weights.int8_scheme import Int8Scheme
from nkimoe.weights.safetensors_file import open_tensors, read_header

INDEX = "model.safetensors.index.json"
_EXPERTS = re.compile(
    r"(?P<block>(?:(?:model|language_model)\.)*layers\.(?P<layer>\d+)\.(?:mlp|block_sparse_moe))\.experts\.(?P<rest>.+)"
)
_SEPARATE = re.compile(r"\d+\.(?:(?:gate|up|down)_proj|w[123])\.weight(?:_scale(?:_inv)?)?")
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
    """One checkpoint. Opening it reads names; tensors are mapped when used.

    Args:
        folder: holds one or more `.safetensors` files, with an index if there are several.

    Raises:
        InputError: there is no such file, one is missing or damaged, or no layer has experts in a known form.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._file_of = _files(self.folder)
        self._int8 = Int8Scheme(self.folder)
        self._open: dict[str, dict[str, Array]] = {}
        self._names: dict[int, dict[str, str]] = defaultdict(dict)
        self._blocks: dict[int, str] = {}
        for name in self._file_of:
            if found := _EXPERTS.fullmatch(name):
                self._names[int(found["layer"])][found["rest"]] = name
                self._blocks[int(found["layer"])] = found["block"]
        if not self._names:
            actual = f"{len(self._file_of)} tensors, such as {', '.join([*self._file_of][:3])}"
            fix = "Known names are listed in docs/weights.md."
            raise InputError(self.folder.name, "has experts named `layers.N.mlp.experts...`", actual, fix)

    @property
    def layers(self) -> list[int]:
        """Numbers of the layers that have experts."""
        return sorted(self._names)

    @property
    def names(self) -> list[str]:
        """Full names of all tensors, of experts or not."""
        return list(self._file_of)

    def tensor(self, name: str) -> Array:
        """One tensor by its full name, a view of the file.

        Raises:
            InputError: the index and the file disagree.
        """
        file = self._file_of[name]
        if file not in self._open:
            self._open[file] = open_tensors(self.folder / file)
        if name not in self._open[file]:
            raise InputError(file, f"holds {name}, as the index says", "no such tensor", "Download it again.")
        return self._open[file][name]

    def close(self) -> None:
        """Let go of the files mapped so far; tensors that were handed out stay valid."""
        self._open.clear()

    def experts(self, layer: int, share: Shard = WHOLE) -> LayerExperts:
        """The experts of a layer, each cut to a rank's share of I.

        Raises:
            RequestError: the layer has no experts. InputError: it stores them in no known form.
        """
        names = self._names[self._known(layer)]
        tensors = {rest: self.tensor(name) for rest, name in names.items()}
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

    def router(self, layer: int) -> Router:
        """The router of a layer, in float32.

        Raises:
            RequestError: the layer has no experts. InputError: no router stands beside them.
        """
        block = self._blocks[self._known(layer)]
        weight = self._first(f"{block}.gate.weight", f"{block}.router.weight")
        if weight is None:
            raise InputError(block, "has gate.weight or router.weight", "neither", "Download all files.")
        bias = self._first(f"{block}.gate.bias", f"{block}.router.bias")
        return Router(weight.T, bias, self._first(f"{block}.gate.e_score_correction_bias"))

    def _first(self, *names: str) -> Array | None:
        found = [name for name in names if name in self._file_of]
        return self.tensor(found[0]).astype(np.float32) if found else None

    def _known(self, layer: int) -> int:
        if layer not in self._names:
            raise RequestError("layer", f"is one with experts: {_ranges(self.layers)}", layer, "Choose one of these.")
        return layer


def _files(folder: Path) -> dict[str, str]:
    """The file of every tensor."""
    index = folder / INDEX
    if index.is_file():
        file_of = json.loads(index.read_text("utf-8")).get("weight_map", {})
        missing = sorted(file for file in set(file_of.values()) if not _is_inside(folder, file))
        if missing:
            raise InputError(folder.name, "holds the files its index names", f"no {missing[0]}", "Download all files.")
        return dict(file_of)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(str(folder), "holds .safetensors files", "none", "Give the folder of a checkpoint.")
    return {name: file.name for file in files for name in read_header(file)[0] if name != "__metadata__"}


def _is_inside(folder: Path, file: str) -> bool:
    return Path(file).name == file and (folder / file).is_file()


def _ranges(numbers: list[int]) -> str:
    """`0, 3-5` of [0, 3, 4, 5]."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
