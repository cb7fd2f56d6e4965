# SPDX-License-Identifier: Apache-2.0
"""Whole models whose MoE layer is a row of `nkimoe.models.MODELS`, as the same configuration files state them."""

from __future__ import annotations

from nkimoe.models import MODELS
from nkimoe.prefill.transformer import Attention, LatentAttention, Transformer

# Every other layer of gpt-oss sees 128 tokens. Llama 4 attends within chunks of 8,192 tokens in three layers of four;
# prompts up to that length are whole chunks.
TRANSFORMERS: dict[str, Transformer] = {
    "qwen3-30b-a3b": Transformer(MODELS["qwen3-30b-a3b"], 48, Attention(32, 4, 128), 151936),
    "qwen3-235b-a22b": Transformer(MODELS["qwen3-235b-a22b"], 94, Attention(64, 4, 128), 151936),
    "mixtral-8x7b": Transformer(MODELS["mixtral-8x7b"], 32, Attention(32, 8, 128), 32000),
    "olmoe-1b-7b": Transformer(MODELS["olmoe-1b-7b"], 16, Attention(16, 16, 128), 50304),
    "gpt-oss-20b": Transformer(MODELS["gpt-oss-20b"], 24, Attention(64, 8, 64, 128, 12), 201088),
    "gpt-oss-120b": Transformer(MODELS["gpt-oss-120b"], 36, Attention(64, 8, 64, 128, 18), 201088),
    "deepseek-v3": Transformer(
        MODELS["deepseek-v3"], 61, LatentAttention(128, 1536, 512, 128, 64, 128), 129280,
        dense_layers=3, dense_columns=18432, shared_columns=2048,
    ),
    "llama-4-scout": Transformer(
        MODELS["llama-4-scout"], 48, Attention(40, 8, 128, 8192, 36), 202048, shared_columns=8192
    ),
}  # fmt: skip
