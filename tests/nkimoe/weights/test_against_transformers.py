"""Checkpoints that transformers saves, read here, compute what transformers computes; and its gpt-oss unpacking."""

import warnings

import numpy as np
import pytest
from support.stored_checkpoints import describe, store

from nkimoe import ActFnType
from nkimoe.reference import moe_cte_reference
from nkimoe.routing import build_block_mapping, scatter_affinities
from nkimoe.weights import Checkpoint, KeepMxfp4Blocks, Plain, pack

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip("transformers", minversion="5")

SIZES = {
    "hidden_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 32,
    "intermediate_size": 48,
}
MODELS = {
    "Qwen3Moe": {"moe_intermediate_size": 48, "num_experts": 4, "num_experts_per_tok": 2, "head_dim": 64},
    "Mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "Olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "GptOss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 64},
    "DeepseekV3": {
        "moe_intermediate_size": 48, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
        "first_k_dense_replace": 0, "q_lora_rank": None, "kv_lora_rank": 16, "qk_rope_head_dim": 16,
        "qk_nope_head_dim": 16, "v_head_dim": 16,
    },
}  # fmt: skip


def model_of(name: str) -> "torch.nn.Module":
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SIZES, **MODELS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(transformers, f"{name}ForCausalLM")(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_computes_the_same_from_its_files(tmp_path, name):
    model = model_of(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(tmp_path)
    module = model.model.layers[0].mlp.experts
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 128)).astype(np.float32)
    chosen = np.array([rng.choice(4, 2, replace=False) for _ in range(20)])
    weights = rng.random((20, 2)).astype(np.float32)
    with torch.no_grad():
        expected = module(*(torch.from_numpy(t) for t in (x, chosen, weights))).numpy()

    checkpoint = Checkpoint(tmp_path)
    tensors = pack(checkpoint.experts(0), Plain(np.float32))
    options = {}
    if name == "GptOss":
        tensors["gate_and_up_proj_bias"][:, 1] += 1
        options = {"activation_function": ActFnType.Swish, "gate_clamp_upper_limit": 7.0}
        options |= {"up_clamp_upper_limit": 8.0, "up_clamp_lower_limit": -6.0}
    mapping = build_block_mapping(chosen.astype(np.int32), 4, 128)
    affinities = scatter_affinities(weights, chosen.astype(np.int32), 4, dtype=np.float32)
    ids = (mapping.token_position_to_id, mapping.block_to_expert)
    got = moe_cte_reference(
        hidden_states=x, expert_affinities_masked=affinities, token_position_to_id=ids[0], block_to_expert=ids[1],
        block_size=128, skip_token=True, **tensors, **options,
    )  # fmt: skip
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", MODELS)
def test_routers_of_saved_models_are_read(tmp_path, name):
    model = model_of(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(tmp_path)
    router = Checkpoint(tmp_path).router(0)
    mlp = model.model.layers[0].mlp
    module = mlp.router if hasattr(mlp, "router") else mlp.gate
    np.testing.assert_array_equal(router.weight.T, module.weight.detach().numpy())
    assert (router.bias is not None) == (name == "GptOss")
    assert (router.selection_bias is not None) == (name == "DeepseekV3")


def test_mxfp4_blocks_mean_what_transformers_makes_of_them(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert = pytest.importorskip("transformers.integrations.mxfp4").convert_moe_packed_tensors
    rng, (E, I, H) = np.random.default_rng(0), (2, 32, 96)
    tensors, theirs = {}, {}
    for name, (columns, K) in {"gate_up_proj": (2 * I, H), "down_proj": (H, I)}.items():
        blocks = rng.integers(0, 256, (E, columns, K // 32, 16)).astype(np.uint8)
        scales = rng.integers(90, 150, (E, columns, K // 32)).astype(np.uint8)
        tensors |= {
            f"model.layers.0.mlp.experts.{name}_{part}": t for part, t in (("blocks", blocks), ("scales", scales))
        }
        theirs[name] = convert(torch.from_numpy(blocks), torch.from_numpy(scales), dtype=torch.float32).numpy()
    describe(store(tmp_path, tensors), E)
    for e, kept in enumerate(Checkpoint(tmp_path).experts(0)):
        packing = KeepMxfp4Blocks()
        for expert in (kept.dequantize(), packing.unpack_expert(packing.pack_expert(kept), H, I)):
            np.testing.assert_array_equal(expert.gate_up[:, 0], theirs["gate_up_proj"][e][:, 0::2])
            np.testing.assert_array_equal(expert.gate_up[:, 1], theirs["gate_up_proj"][e][:, 1::2])
            np.testing.assert_array_equal(expert.down, theirs["down_proj"][e])
