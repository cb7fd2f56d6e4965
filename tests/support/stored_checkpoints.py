"""Folders as Hugging Face stores checkpoints, of tensors made by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.weights.safetensors_file import create_file

Tensors = dict[str, np.ndarray[Any, Any]]
_EXPERTS = re.compile(r"(?P<block>.*layers\.\d+\.[^.]+)\.experts\..+")


def store(folder: Path, tensors: Tensors, name: str = "model.safetensors") -> Path:
    """A file of these tensors in the folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    views = create_file(folder / name, {n: (t.dtype, t.shape) for n, t in tensors.items()}, {"format": "pt"})
    for n, t in tensors.items():
        views[n][...] = t
    return folder


def describe(folder: Path, experts: int, **more: Any) -> Path:
    """A config.json with that many experts a layer, and what else it says."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"num_experts": experts, **more}))
    return folder


def bf16_experts(layers: Iterable[int], experts: int, H: int, I: int) -> Tensors:
    """Drawn weights of experts under the names of Qwen3, the same every time."""
    rng, shapes = np.random.default_rng(0), {"gate_proj": (I, H), "up_proj": (I, H), "down_proj": (H, I)}
    return {
        f"model.layers.{layer}.mlp.experts.{e}.{name}.weight": rng.standard_normal(shape).astype(ml_dtypes.bfloat16)
        for layer in layers for e in range(experts) for name, shape in shapes.items()
    }  # fmt: skip


def with_routers(tensors: Tensors, experts: int, H: int) -> Tensors:
    """The tensors, and a router of zeros beside the experts of each layer."""
    blocks = {found["block"] for found in map(_EXPERTS.fullmatch, tensors) if found}
    return {**tensors, **{f"{block}.gate.weight": np.zeros((experts, H), np.float32) for block in sorted(blocks)}}
