"""Tiny models with random weights, saved as Hugging Face saves them. Needs torch and transformers."""

import json
import warnings

SIZES = {
    "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64,
    "intermediate_size": 64,
}  # fmt: skip
FAMILIES = {
    "Qwen3Moe": {"head_dim": 32, "moe_intermediate_size": 80, "num_experts": 6, "num_experts_per_tok": 2},
    "Mixtral": {"num_local_experts": 6, "num_experts_per_tok": 2},
    "Olmoe": {"num_experts": 6, "num_experts_per_tok": 2},
    "GptOss": {"head_dim": 32, "num_local_experts": 6, "num_experts_per_tok": 2},
    "DeepseekV3": {
        "num_key_value_heads": 4, "moe_intermediate_size": 80, "n_routed_experts": 8, "num_experts_per_tok": 3,
        "n_group": 4, "topk_group": 2, "n_shared_experts": 1, "first_k_dense_replace": 1, "q_lora_rank": None,
        "kv_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 16, "v_head_dim": 16, "head_dim": 16,
    },
}  # fmt: skip


def save_model(folder, family, shard_size="1GB", dtype=None):
    """A model of the family; with a small shard size in several files and an index."""
    import torch
    import transformers

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = getattr(transformers, f"{family}Config")(**SIZES | FAMILIES[family])
        model = getattr(transformers, f"{family}ForCausalLM")(config)
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point() and tensor.ndim:
                torch.nn.init.normal_(tensor, std=0.2)
        model.to(dtype or torch.float32).save_pretrained(folder, max_shard_size=shard_size)
    return folder


def save_tokenizer(folder, words):
    """A tokenizer that gives word i of `words` the id i, and id 0 to all others."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<unk>": 0, **{word: 1 + i for i, word in enumerate(words)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)


def quantise_to_mxfp4(folder):
    """Give a saved gpt-oss random blocks and scales instead of its experts' weights, as the published ones have."""
    import torch

    def blocks(name, weight):
        E, inputs, outputs = weight.shape
        shape = (E, outputs, inputs // 32)
        return {
            f"{name}_blocks": torch.randint(0, 256, (*shape, 16), dtype=torch.uint8),
            f"{name}_scales": torch.randint(120, 126, shape, dtype=torch.uint8),
        }

    names = ("model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head")
    _replace(folder, lambda name, weight: blocks(name, weight) if weight.ndim == 3 else {name: weight},
             {"quant_method": "mxfp4", "modules_to_not_convert": [*names]})  # fmt: skip


def quantise_to_fp8(folder):
    """Make the matrices of a saved model e4m3 with a scale for every 128 x 128, as DeepSeek-V3's published ones."""
    import torch

    def scaled(name, weight):
        if "_proj" not in name or weight.ndim != 2:
            return {name: weight.bfloat16()}
        scale = weight.abs().max() / 448
        grid = [-(-n // 128) for n in weight.shape]
        return {name: (weight / scale).to(torch.float8_e4m3fn), f"{name}_scale_inv": torch.full(grid, float(scale))}

    _replace(folder, scaled, {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]})


W8A8 = {
    "weights": {"num_bits": 8, "type": "int", "symmetric": True, "group_size": None, "strategy": "channel",
                "dynamic": False},
    "input_activations": {"num_bits": 8, "type": "int", "symmetric": True, "group_size": None, "strategy": "token",
                          "dynamic": True},
}  # fmt: skip


def compressed_tensors(**scheme):
    """A quantization_config as that library writes it, of one group."""
    group = {"targets": ["Linear"], **W8A8, "output_activations": None, "format": None, **scheme}
    return {
        "quant_method": "compressed-tensors", "format": "int-quantized", "quantization_status": "compressed",
        "config_groups": {"group_0": group}, "ignore": ["lm_head", "re:.*gate$"], "kv_cache_scheme": None,
    }  # fmt: skip


def quantise_to_int8(folder, quantisation=None, offsets=False):
    """Make the linear layers of a saved model int8 with a scale an output channel, but for routers and the head."""
    import torch

    described = {}

    def coded(name, weight):
        described[name] = "FLOAT"
        if weight.ndim != 2 or "embed_tokens" in name or "lm_head" in name or name.endswith(".gate.weight"):
            return {name: weight.bfloat16()}
        scale = (weight.float().abs().amax(dim=1, keepdim=True) / 127).bfloat16()
        codes = (weight.float() / scale.float()).round().clamp(-128, 127).to(torch.int8)
        beside = {f"{name}_offset": torch.zeros_like(scale)} if offsets else {}
        made = {name: codes, f"{name}_scale": scale, **beside}
        described.update(dict.fromkeys(made, "W8A8_DYNAMIC"))
        return made

    _replace(folder, coded, quantisation or compressed_tensors())
    if offsets:
        config = json.loads((folder / "config.json").read_text())
        del config["quantization_config"]
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "quant_model_description.json").write_text(json.dumps(described))
    return folder


def _replace(folder, change, quantisation):
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    changed = {}
    for name, weight in load_file(file).items():
        changed |= change(name, weight)
    save_file(changed, file, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": quantisation}))
