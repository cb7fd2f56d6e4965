# SPDX-License-Identifier: Apache-2.0
"""Sizes of a MoE layer from the config.json of a Hugging Face model, without transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nkimoe.errors import InputError
from nkimoe.json_object import DOWNLOAD, read_object
from nkimoe.models import MODELS, Model
from nkimoe.routing.rule import RoutingRule
from nkimoe.spec import ActFnType

# What model families call a size, the name that decides first.
HIDDEN = ("hidden_size", "d_model", "n_embd")
INTERMEDIATE = (
    "moe_intermediate_size", "expert_ffn_hidden_size", "expert_intermediate_size", "expert_hidden_dim",
    "intermediate_size", "ffn_dim",
)  # fmt: skip
EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts", "n_experts")
TOP_K = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k", "top_k_experts", "top_k")
LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
BY_OPTIONS = "Give the sizes by options."
ACTIVATIONS = {
    "silu": ActFnType.SiLU, "swish": ActFnType.SiLU, "gelu": ActFnType.GELU, "relu": ActFnType.ReLU,
    "gelu_pytorch_tanh": ActFnType.GELU_Tanh_Approx, "gelu_new": ActFnType.GELU_Tanh_Approx,
    "quick_gelu": ActFnType.Swish, "relu2": ActFnType.SquaredReLU,
}  # fmt: skip


def model_of_config(path: Path | str) -> Model:
    """The layer that a config.json, or that of a checkpoint's folder, describes.

    Of a layer with the sizes of one of MODELS its row is taken, which knows the biases, clamps and router; any other
    has a softmax router and no biases.

    Raises:
        InputError: it is no JSON object, or says of no experts how many or how large. OSError: it cannot be read.
    """
    text = read_config(path)
    H, I, E, K = (size_of(text, names, str(path), BY_OPTIONS) for names in (HIDDEN, INTERMEDIATE, EXPERTS, TOP_K))
    known = (model for model in MODELS.values() if (model.H, model.I, model.E, model.K) == (H, I, E, K))
    return next(known, Model(H, I, E, RoutingRule(K), str(path), _activation(text, str(path))))


def read_config(path: Path | str) -> Mapping[str, Any]:
    """The keys of a config.json, or that of a checkpoint's folder; of a model that sees and reads, those of its text.

    Raises:
        InputError: it is no JSON object. OSError: it cannot be read.
    """
    file = Path(path)
    return _text_of(read_object(file / "config.json" if file.is_dir() else file), str(path))


def _text_of(config: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """What a model's config.json says of its language model.

    Raises:
        InputError: it has a text_config that is no object.
    """
    inner = config.get("text_config")
    if not isinstance(inner, dict | None):
        raise InputError(place, "has an object as text_config", repr(inner), DOWNLOAD)
    return config if inner is None else inner


def find_size(config: Mapping[str, Any], names: tuple[str, ...], place: str) -> int | None:
    """The size that the first of these keys that is there and not null has; a list of equal sizes, of every layer, is
    one size. None if there is no such key.

    Raises:
        InputError: it is no size.
    """
    name = next((name for name in names if config.get(name) is not None), None)
    if name is None:
        return None
    value = config[name]
    values = value if isinstance(value, list) and value else [value]
    if any(type(each) is not int or each < 1 or each != values[0] for each in values):
        raise InputError(place, f"has a positive integer as {name}", repr(value), DOWNLOAD)
    return int(values[0])


def size_of(config: Mapping[str, Any], names: tuple[str, ...], place: str, fix: str) -> int:
    """As `find_size`, of what a file has to say.

    Raises:
        InputError: it does not; it ends with `fix`.
    """
    size = find_size(config, names, place)
    if size is None:
        raise InputError(place, f"has {names[0]}", f"none of {', '.join(names)}", fix)
    return size


def _activation(config: Mapping[str, Any], place: str) -> ActFnType:
    name = config.get("hidden_act", "silu")
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise InputError(place, f"has hidden_act {', '.join(ACTIVATIONS)}", name, BY_OPTIONS)
    return ACTIVATIONS[name]
