"""A tiny configuration of any family: sizes that its own configuration has are replaced, all else is its default."""

from __future__ import annotations

from typing import Any

import torch

LAYERS, HIDDEN, VOCABULARY, HEADS, HEAD_DIM, EXPERTS = 2, 96, 64, 4, 32, 8
SIZES: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "unpadded_vocab_size", "vocab_size_per_layer_input"), VOCABULARY),
    **dict.fromkeys(("hidden_size", "moe_hidden_size", "ple_embed_dim"), HIDDEN),
    **dict.fromkeys(("num_attention_heads", "swa_num_attention_heads", "linear_num_heads", "index_n_heads"), HEADS),
    **dict.fromkeys(("num_key_value_heads", "swa_num_key_value_heads"), HEADS),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), 2),
    **dict.fromkeys(("head_dim", "swa_head_dim", "linear_head_dim", "index_head_dim"), HEAD_DIM),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), HEAD_DIM),
    **dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), HEAD_DIM),
    "qk_head_dim": 2 * HEAD_DIM,
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "o_lora_rank", "hc_lowrank"), 16),
    "num_hidden_layers": LAYERS,
    **dict.fromkeys(("intermediate_size", "moe_intermediate_size", "dense_intermediate_size"), 80),
    **dict.fromkeys(("shared_expert_intermediate_size", "shared_intermediate_size"), 48),
    **dict.fromkeys(("shared_experts_intermediate_size", "moe_shared_expert_intermediate_size"), 48),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), EXPERTS),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts"), 3),
    **dict.fromkeys(("n_group", "num_expert_group"), 2),
    "topk_group": 2,
    **dict.fromkeys(("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"), 0),
    "max_position_embeddings": 512,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "eod_token_id", "sep_token_id"), 0),
}
TABLE = "tid2eid"  # of a token's experts, which a checkpoint brings: different ones
SPREAD = {"embed": 0.3, "experts": 0.16}  # standard deviations, by part of a name
PER_LAYER = {"mlp_layer_types": "sparse", "num_attention_heads_per_layer": HEADS}
GEMMA = {"enable_moe_block": True, "num_experts": 8, "top_k_experts": 3, "moe_intermediate_size": 80}
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
FAMILY: dict[str, dict[str, Any]] = {
    "deepseek_v4": {"mlp_layer_types": ["hash_moe", "moe"]},
    "diffusion_gemma": GEMMA,
    "gemma4": GEMMA,
    "deepseek_ocr2": {"mlp_layer_types": ["sparse"] * LAYERS, "num_experts_per_tok": 3},
    "deepseek_v2": {"num_experts_per_tok": 3},
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 3},
    "ernie4_5_vl_moe": {"moe_intermediate_size": [80, 80], "rope_parameters": {**ROPE, "mrope_section": [4, 4, 4]}},
    "flint": {"mlp_only_layers": []},
    "glm4v_moe": {"rope_parameters": {**ROPE, "mrope_section": [2, 2, 2]}},
    "glm5_next": {"qk_rope_head_dim": 0, "qk_head_dim": HEAD_DIM},
    "granitemoehybrid": {"mamba_n_heads": 6, "mamba_d_head": 32},
    "hy_v4_vl": {"rope_parameters": {**ROPE, "mrope_section": [6, 5, 5]}},
    "hunyuan_v1_moe": {"head_dim": HEAD_DIM},
    "lfm2_moe": {"layer_types": ["full_attention", "conv"]},
    "mimo_v2_flash": {"num_key_value_heads": 2},
    "mistral4": {"rope_parameters": {**ROPE, "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 512}},
    "Qwen3OmniMoeTalkerTextExperts": {"shared_expert_intermediate_size": 48},
    "nemotron_h": {"layers_block_type": ["moe", "full_attention"]},
    "zaya": {"num_experts_per_tok": 1},
}


def tiny_config(model_class: Any, *names: str) -> Any:
    """The configuration with `SIZES`, where the family has them, and what `FAMILY` says for `names`."""
    known = model_class.config_class().to_dict()
    changes = {name: value for name, value in SIZES.items() if known.get(name) is not None}
    for name, value in known.items():
        if isinstance(value, list) and len(value) > LAYERS and len(value) == known.get("num_hidden_layers"):
            changes[name] = [PER_LAYER[name]] * LAYERS if name in PER_LAYER else value[:LAYERS]
    for name in names:
        changes |= FAMILY.get(name, {})
    return model_class.config_class(**changes)


def tiny_model(model_class: Any, *names: str, seed: int = 0) -> Any:
    """A model with random bf16 values, biases too, in which routers decide and experts matter."""
    torch.manual_seed(seed)
    model = model_class(tiny_config(model_class, *names)).float().eval()
    named = [*model.named_parameters(), *((n, b) for n, b in model.named_buffers() if n.endswith("bias"))]
    for name, tensor in named:
        if tensor.is_floating_point() and (tensor.dim() > 1 or "bias" in name):
            std = next((std for part, std in SPREAD.items() if part in name), 0.12)
            tensor.data.copy_((torch.randn(tensor.shape) * std).bfloat16())
    for name, table in model.named_buffers():
        if name.endswith(TABLE):
            table.copy_(torch.rand(table.shape[0], EXPERTS).topk(table.shape[1]).indices)
    return model
