"""Whole models: the parameters their makers state, and a config.json says the same as the table."""

import json
from pathlib import Path
from typing import Any

import pytest

from nkimoe.errors import InputError
from nkimoe.models import MODELS
from nkimoe.prefill.config import transformer_of_config
from nkimoe.prefill.published import TRANSFORMERS
from nkimoe.prefill.transformer import Attention, LatentAttention

# 1e9 parameters, as the models' cards state them.
STATED = {
    "qwen3-30b-a3b": 30.5, "qwen3-235b-a22b": 235, "mixtral-8x7b": 46.7, "olmoe-1b-7b": 6.9, "gpt-oss-20b": 20.9,
    "gpt-oss-120b": 116.8, "deepseek-v3": 671, "llama-4-scout": 109,
}  # fmt: skip
QWEN3 = {
    "hidden_size": 2048, "moe_intermediate_size": 768, "intermediate_size": 6144, "num_experts": 128,
    "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4,
    "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": False,
}  # fmt: skip


def written(tmp_path: Path, **changes: Any) -> Path:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({name: value for name, value in {**QWEN3, **changes}.items() if value is not None}))
    return file


def test_every_model_of_the_table_of_layers_is_there_as_a_whole() -> None:
    assert TRANSFORMERS.keys() == MODELS.keys()
    assert all(TRANSFORMERS[name].moe is MODELS[name] for name in MODELS)


@pytest.mark.parametrize("name", STATED)
def test_a_model_has_the_parameters_that_its_makers_state(name: str) -> None:
    assert TRANSFORMERS[name].parameters / 1e9 == pytest.approx(STATED[name], rel=0.02)


def test_a_config_of_a_published_model_says_the_same_as_its_row(tmp_path: Path) -> None:
    assert transformer_of_config(written(tmp_path)) == TRANSFORMERS["qwen3-30b-a3b"]


def test_llama_4_says_neither_its_shared_expert_nor_that_chunks_are_windows_in_other_words(tmp_path: Path) -> None:
    kinds = (["chunked_attention"] * 3 + ["full_attention"]) * 12
    model = transformer_of_config(written(
        tmp_path, hidden_size=5120, intermediate_size=8192, moe_intermediate_size=None, num_experts=None,
        num_local_experts=16, num_experts_per_tok=1, intermediate_size_mlp=16384, interleave_moe_layer_step=1,
        num_attention_heads=40, num_key_value_heads=8, vocab_size=202048, attention_chunk_size=8192, layer_types=kinds,
    ))  # fmt: skip
    assert model == TRANSFORMERS["llama-4-scout"]


def test_a_config_says_heads_dense_layers_shared_experts_and_windows(tmp_path: Path) -> None:
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    model = transformer_of_config(written(
        tmp_path, num_hidden_layers=3, first_k_dense_replace=1, n_shared_experts=2, sliding_window=512,
        layer_types=kinds, head_dim=None, tie_word_embeddings=True,
    ))  # fmt: skip
    assert model.attention == Attention(32, 4, 64, window=512, windowed_layers=2)
    assert (model.dense_layers, model.dense_columns, model.shared_columns, model.tied) == (1, 6144, 1536, True)


@pytest.mark.parametrize(
    ("keys", "dense"),
    [({"mlp_only_layers": [0, 5]}, 2), ({"decoder_sparse_step": 2}, 24), ({"moe_layer_freq": 1}, 0), ({}, 0)],
)
def test_layers_without_experts_are_counted_however_they_are_written(
    tmp_path: Path, keys: dict[str, Any], dense: int
) -> None:
    assert transformer_of_config(written(tmp_path, vocab_size=7, num_attention_heads=16, **keys)).dense_layers == dense


def test_a_window_that_is_switched_off_is_none(tmp_path: Path) -> None:
    model = transformer_of_config(written(tmp_path, num_hidden_layers=4, sliding_window=64, use_sliding_window=False))
    assert model.attention == Attention(32, 4, 128)


def test_a_latent_attention_is_read(tmp_path: Path) -> None:
    names = {"q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12}
    assert transformer_of_config(written(tmp_path, **names)).attention == LatentAttention(32, 24, 16, 8, 4, 12)


@pytest.mark.parametrize("name", ["num_hidden_layers", "num_attention_heads", "vocab_size"])
@pytest.mark.parametrize("value", [None, 0, -3, "many", True, 1.5])
def test_a_config_that_does_not_say_it_is_refused_by_the_name_of_the_key(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        transformer_of_config(written(tmp_path, **{name: value}))
