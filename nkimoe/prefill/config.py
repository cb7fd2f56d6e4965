# SPDX-License-Identifier: Apache-2.0
"""A whole model from the config.json of a Hugging Face model, without transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nkimoe.config_json import LAYERS, model_of_config, read_config, size_of
from nkimoe.prefill.transformer import Attention, LatentAttention, Transformer

ANOTHER = "Give --model, or another file."
VOCABULARY = ("vocab_size",)
HEADS = ("num_attention_heads", "n_head", "n_heads")
SHARED_COUNT = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
WINDOWED = ("sliding_attention", "chunked_attention")
SHARED_COLUMNS = ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size")


def transformer_of_config(path: Path | str) -> Transformer:
    """The model that a config.json, or that of a checkpoint's folder, describes.

    Raises:
        InputError: it is no JSON object, or does not say how many layers, heads or experts there are.
        OSError: it cannot be read.
    """
    moe, config, place = model_of_config(path), read_config(path), str(path)
    layers, heads, vocabulary = (size_of(config, names, place, ANOTHER) for names in (LAYERS, HEADS, VOCABULARY))
    dense = _dense_layers(config, layers)
    columns = _number(config, "intermediate_size_mlp", "intermediate_size")
    shared = _number(config, *SHARED_COLUMNS) or _shared_count(config) * moe.I
    return Transformer(
        moe, layers, _attention(config, heads, layers, moe.H), vocabulary,
        dense_layers=dense, dense_columns=columns if dense else 0, shared_columns=shared,
        tied=config.get("tie_word_embeddings") is True,
    )  # fmt: skip


def _attention(config: Mapping[str, Any], heads: int, layers: int, hidden: int) -> Attention | LatentAttention:
    if _number(config, "kv_lora_rank"):
        names = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
        return LatentAttention(heads, *(_number(config, name) for name in names))
    head_dim = _number(config, "head_dim") or hidden // heads
    attention = Attention(heads, _number(config, "num_key_value_heads") or heads, head_dim)
    window = _number(config, "sliding_window", "attention_chunk_size")
    if not window or config.get("use_sliding_window") is False:
        return attention
    kinds = config.get("layer_types")
    windowed = sum(kind in WINDOWED for kind in kinds) if isinstance(kinds, list) else layers
    return replace(attention, window=window, windowed_layers=windowed) if windowed else attention


def _dense_layers(config: Mapping[str, Any], layers: int) -> int:
    """Layers without experts, in the ways that model families write it."""
    listed = config.get("mlp_only_layers")
    only = set(listed) if isinstance(listed, list) else set()
    only |= set(range(_number(config, "first_k_dense_replace")))
    every = _number(config, "decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step") or 1
    only |= {layer for layer in range(layers) if (layer + 1) % every}
    return len(only & set(range(layers)))


def _shared_count(config: Mapping[str, Any]) -> int:
    """Experts of every token, each as large as a routed one; Llama 4 has one and does not say so."""
    return _number(config, *SHARED_COUNT) or (1 if "interleave_moe_layer_step" in config else 0)


def _number(config: Mapping[str, Any], *names: str) -> int:
    """The first of these keys that holds a positive number; 0: none."""
    found = (config.get(name) for name in names)
    return next((value for value in found if type(value) is int and value > 0), 0)
