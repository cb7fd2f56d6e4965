"""A small checkpoint in each form that is packed, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np

from nkimoe.errors import RequestError
from nkimoe.weights import Int8, KeepMxfp4Blocks, Plain, pack_checkpoint
from nkimoe.weights.packing import Packing
from support.damage import INDEX
from support.stored_checkpoints import describe, store, with_routers

E, H, I = 3, 64, 96
RNG = np.random.default_rng(0)
SIZES = {"hidden_size": H, "moe_intermediate_size": I, "num_hidden_layers": 2, "num_experts_per_tok": 2}
MLP = "model.layers.{}.mlp.experts"
BF16 = ml_dtypes.bfloat16


def separate(dtype: type = BF16) -> dict[str, np.ndarray]:
    shapes = {"gate_proj": (I, H), "up_proj": (I, H), "down_proj": (H, I)}
    return {
        f"{MLP.format(layer)}.{e}.{name}.weight": RNG.standard_normal(shape).astype(dtype)
        for layer in range(2) for e in range(E) for name, shape in shapes.items()
    }  # fmt: skip


def with_scales(tensors: dict[str, np.ndarray], ending: str, shape_of: Callable[[np.ndarray], tuple[int, ...]]):
    scales = {f"{name}{ending}": np.full(shape_of(t), 0.5, np.float32) for name, t in tensors.items()}
    return tensors | scales


def gpt_oss() -> dict[str, np.ndarray]:
    shapes = {
        "gate_up_proj": (E, H, 2 * I),
        "down_proj": (E, I, H),
        "gate_up_proj_bias": (E, 2 * I),
        "down_proj_bias": (E, H),
    }
    return {
        f"{MLP.format(n)}.{name}": RNG.standard_normal(shape).astype(BF16)
        for n in range(2)
        for name, shape in shapes.items()
    }


def mxfp4() -> dict[str, np.ndarray]:
    tensors = {}
    for block in map(MLP.format, range(2)):
        for name, (columns, K) in {"gate_up_proj": (2 * I, H), "down_proj": (H, I)}.items():
            tensors[f"{block}.{name}_blocks"] = RNG.integers(0, 256, (E, columns, K // 32, 16)).astype(np.uint8)
            tensors[f"{block}.{name}_scales"] = RNG.integers(100, 140, (E, columns, K // 32)).astype(np.uint8)
            tensors[f"{block}.{name}_bias"] = RNG.standard_normal((E, columns)).astype(BF16)
    return tensors


W8A8 = {"quantization_config": {"quant_method": "w8a8_int8"}}
FORMS: dict[str, tuple[dict[str, np.ndarray], Packing, dict[str, object]]] = {
    "separate": (separate(), Plain(), {}),
    "fp8 blocks": (
        with_scales(separate(ml_dtypes.float8_e4m3fn), "_scale_inv", lambda t: (1, 1)),
        Plain(np.float32),
        {},
    ),
    "int8": (with_scales(separate(np.int8), "_scale", lambda t: (len(t), 1)), Int8(), W8A8),
    "fused with biases": (gpt_oss(), Plain(np.float32), {}),
    "mxfp4 blocks": (mxfp4(), KeepMxfp4Blocks(), {}),
}


def made(folder: Path, form: str = "separate", shards: int = 3, has_index: bool = True) -> Path:
    """A whole checkpoint in several files."""
    tensors, _, more = FORMS[form]
    tensors = with_routers(tensors, E, H)
    names = sorted(tensors)
    weight_map = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = names[number * len(names) // shards : (number + 1) * len(names) // shards]
        store(folder, {name: tensors[name] for name in part}, file)
        weight_map |= dict.fromkeys(part, file)
    if has_index:
        (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return describe(folder, E, **SIZES, **more)


def packed_bytes(folder: Path, form: str, target: Path) -> list[bytes]:
    return [file.read_bytes() for file in pack_checkpoint(folder, target, FORMS[form][1])]


def refusal_or_bytes(folder: Path, form: str, target: Path) -> tuple[str, list[bytes] | None]:
    try:
        return "", packed_bytes(folder, form, target)
    except RequestError as error:
        return str(error), None
