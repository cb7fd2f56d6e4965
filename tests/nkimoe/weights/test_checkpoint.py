"""Reading experts and routers from small checkpoints in every known form, all of the same weights."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from support.stored_checkpoints import describe, store

from nkimoe import InputError, RequestError
from nkimoe.weights import Checkpoint, Shard

E, H, I, LAYER = 3, 64, 96, 2
RNG = np.random.default_rng(0)
GATE, UP = (RNG.standard_normal((E, H, I)).astype(ml_dtypes.bfloat16) for _ in range(2))
DOWN = RNG.standard_normal((E, I, H)).astype(ml_dtypes.bfloat16)
ROUTER = RNG.standard_normal((H, E)).astype(ml_dtypes.bfloat16)
BIASES = {"gate_up_proj_bias": RNG.standard_normal((E, 2 * I)), "down_proj_bias": RNG.standard_normal((E, H))}


def save(folder: Path, tensors: dict[str, np.ndarray], name: str = "model.safetensors", experts: int = E) -> None:
    describe(store(folder, tensors, name), experts)


def separate(block: str, gate: str, up: str, down: str) -> dict[str, np.ndarray]:
    matrices = {}
    for e in range(E):
        for name, weight in ((gate, GATE), (up, UP), (down, DOWN)):
            matrices[f"{block}.experts.{e}.{name}.weight"] = weight[e].T
    return matrices


def alternating(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    """[..., 2I] of two [..., I]."""
    return np.stack([gate, up], axis=-1).reshape(*gate.shape[:-1], -1)


MLP, MIXTRAL = f"model.layers.{LAYER}.mlp", f"model.layers.{LAYER}.block_sparse_moe"
FORMS = {
    "qwen3, olmoe, deepseek": separate(MLP, "gate_proj", "up_proj", "down_proj")
    | {f"{MLP}.gate.weight": ROUTER.T, f"{MLP}.gate.e_score_correction_bias": ROUTER[0].astype(np.float32)},
    "with a text model inside": separate(f"model.language_{MLP}", "gate_proj", "up_proj", "down_proj")
    | {f"model.language_{MLP}.gate.weight": ROUTER.T},
    "mixtral": separate(MIXTRAL, "w1", "w3", "w2") | {f"{MIXTRAL}.gate.weight": ROUTER.T},
    "fused": {
        f"{MLP}.experts.gate_up_proj": np.concatenate([GATE, UP], axis=2).transpose(0, 2, 1),
        f"{MLP}.experts.down_proj": DOWN.transpose(0, 2, 1),
        f"{MLP}.gate.weight": ROUTER.T,
    },
    "gpt-oss": {
        f"{MLP}.experts.gate_up_proj": alternating(GATE, UP),
        f"{MLP}.experts.down_proj": DOWN,
        f"{MLP}.router.weight": ROUTER.T,
        f"{MLP}.router.bias": ROUTER[1],
        **{f"{MLP}.experts.{name}": bias for name, bias in BIASES.items()},
    },
}
UNRELATED = {
    "model.embed_tokens.weight": np.zeros((4, H), np.float32),
    "model.layers.0.mlp.gate_proj.weight": np.zeros((4, H), np.float32),
    f"mtp.layers.{LAYER}.mlp.experts.0.gate_proj.weight": np.zeros((4, H), np.float32),
    f"{MLP}.shared_expert.gate_proj.weight": np.zeros((4, H), np.float32),
}
FORM = pytest.mark.parametrize("form", FORMS)


@FORM
def test_every_form_gives_the_same_experts(tmp_path, form):
    save(tmp_path, UNRELATED | FORMS[form])
    checkpoint = Checkpoint(tmp_path)
    experts = checkpoint.experts(LAYER)
    assert checkpoint.layers == [LAYER]
    assert len(experts) == E
    for e in range(E):
        np.testing.assert_array_equal(experts[e].gate_up[:, 0], GATE[e])
        np.testing.assert_array_equal(experts[e].gate_up[:, 1], UP[e])
        np.testing.assert_array_equal(experts[e].down, DOWN[e])
        assert (experts[e].gate_up_bias is not None) == (form == "gpt-oss")
    np.testing.assert_array_equal(experts[-1].down, DOWN[-1])
    assert len(experts[1:]) == E - 1
    with pytest.raises(IndexError, match="expert 3 of 3"):
        experts[E]


@FORM
def test_routers_are_found_beside_the_experts(tmp_path, form):
    save(tmp_path, FORMS[form])
    router = Checkpoint(tmp_path).router(LAYER)
    np.testing.assert_array_equal(router.weight, ROUTER.astype(np.float32))
    expected = ROUTER[1].astype(np.float32) if form == "gpt-oss" else None
    np.testing.assert_array_equal(router.bias, expected)
    assert (router.selection_bias is not None) == form.endswith("deepseek")


def test_biases_of_gpt_oss_are_taken_apart(tmp_path):
    save(tmp_path, FORMS["gpt-oss"])
    expert = Checkpoint(tmp_path).experts(LAYER)[1]
    np.testing.assert_array_equal(expert.gate_up_bias[0], BIASES["gate_up_proj_bias"][1, 0::2])
    np.testing.assert_array_equal(expert.gate_up_bias[1], BIASES["gate_up_proj_bias"][1, 1::2])
    np.testing.assert_array_equal(expert.down_bias, BIASES["down_proj_bias"][1])


def test_blocks_of_gpt_oss_are_decoded_and_taken_apart(tmp_path):
    values = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]
    block, tensors, real = f"{MLP}.experts", {}, {}
    for name, (columns, K) in {"gate_up_proj": (2 * I, H), "down_proj": (H, I)}.items():
        blocks = RNG.integers(0, 256, (E, columns, K // 32, 16)).astype(np.uint8)
        scales = RNG.integers(120, 130, (E, columns, K // 32)).astype(np.uint8)
        tensors |= {f"{block}.{name}_blocks": blocks, f"{block}.{name}_scales": scales}
        low, high = np.take(values, blocks % 16), np.take(values, blocks // 16)
        pairs = np.stack([low, high], axis=-1).reshape(E, columns, K // 32, 32) * 2.0 ** (scales[..., None] - 127.0)
        real[name] = pairs.reshape(E, columns, K)
    save(tmp_path, tensors)
    for e, kept in enumerate(Checkpoint(tmp_path).experts(LAYER)):
        expert = kept.dequantize()
        np.testing.assert_array_equal(expert.gate_up[:, 0], real["gate_up_proj"][e, 0::2].T)
        np.testing.assert_array_equal(expert.gate_up[:, 1], real["gate_up_proj"][e, 1::2].T)
        np.testing.assert_array_equal(expert.down, real["down_proj"][e].T)


@FORM
@pytest.mark.parametrize("tp", [2, 5])
def test_the_ranks_of_a_layer_add_up_to_it(tmp_path, form, tp):
    save(tmp_path, FORMS[form])
    checkpoint = Checkpoint(tmp_path)
    x = RNG.integers(-3, 4, (4, H)).astype(np.float64)

    def output(expert):
        gate, up = np.einsum("th,hgc->gtc", x, expert.gate_up.astype(np.float64))
        bias, down_bias = (0, 0), 0
        if expert.down_bias is not None:
            bias, down_bias = expert.gate_up_bias, expert.down_bias
        return np.maximum(gate + bias[0], 0) * (up + bias[1]) @ expert.down.astype(np.float64) + down_bias

    parts = [checkpoint.experts(LAYER, Shard(tp, rank))[1] for rank in range(tp)]
    assert {part.gate_up.shape for part in parts} == {(H, 2, -(-I // tp))}
    np.testing.assert_allclose(sum(map(output, parts)), output(checkpoint.experts(LAYER)[1]), rtol=1e-10, atol=1e-9)


def test_no_rank_beyond_the_last_exists():
    with pytest.raises(RequestError, match=r"rank: is 0\.\.3; got 4"):
        Shard(4, 4)


def test_several_files_are_found_by_their_index(tmp_path):
    names = sorted(FORMS["fused"])
    for number, name in enumerate(names):
        save(tmp_path, {name: FORMS["fused"][name]}, f"part-{number}.safetensors")
    assert len(Checkpoint(tmp_path).experts(LAYER)) == E
    index = {"weight_map": {name: f"part-{number}.safetensors" for number, name in enumerate(names)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert len(Checkpoint(tmp_path).experts(LAYER)) == E
    (tmp_path / "part-1.safetensors").unlink()
    with pytest.raises(InputError, match=r"got no part-1\.safetensors"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("file", ["../other.safetensors", "missing.safetensors"])
def test_an_index_that_points_outside_is_refused(tmp_path, file):
    save(tmp_path / "folder", FORMS["fused"])
    save(tmp_path, FORMS["fused"], "other.safetensors")
    index = {"weight_map": dict.fromkeys(FORMS["fused"], file)}
    (tmp_path / "folder" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=f"got no {file}"):
        Checkpoint(tmp_path / "folder")


def test_an_index_that_names_another_file_is_refused(tmp_path):
    save(tmp_path, FORMS["fused"])
    save(tmp_path, UNRELATED, "other.safetensors")
    index = {"weight_map": dict.fromkeys(FORMS["fused"], "other.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"other\.safetensors: holds .*, as the index says; got no such tensor"):
        Checkpoint(tmp_path).experts(LAYER)


def fp8(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """float8 values, the scale of each 128 x 128, and what they mean."""
    rows, columns = values.shape
    grid = RNG.uniform(0.5, 2, (-(-rows // 128), -(-columns // 128))).astype(np.float32)
    quantised = values.astype(ml_dtypes.float8_e4m3fn)
    real = quantised.astype(np.float32)
    for r in range(rows):
        for c in range(columns):
            real[r, c] *= grid[r // 128, c // 128]
    return quantised, grid, real


def test_fp8_blocks_of_deepseek_are_kept_and_mean_what_they_say(tmp_path):
    shapes = {"gate_proj": (150, 130), "up_proj": (150, 130), "down_proj": (130, 150)}
    tensors, real = {}, {}
    for name, shape in shapes.items():
        full = f"{MLP}.experts.0.{name}.weight"
        tensors[full], tensors[f"{full}_scale_inv"], real[name] = fp8(RNG.standard_normal(shape))
    save(tmp_path, tensors, experts=1)
    expert = Checkpoint(tmp_path).experts(LAYER)[0]
    np.testing.assert_array_equal(expert.down, tensors[f"{MLP}.experts.0.down_proj.weight"].T)
    np.testing.assert_array_equal(expert.down_scale, tensors[f"{MLP}.experts.0.down_proj.weight_scale_inv"].T)
    expert = expert.dequantize()
    np.testing.assert_array_equal(expert.gate_up[:, 0], real["gate_proj"].T)
    np.testing.assert_array_equal(expert.gate_up[:, 1], real["up_proj"].T)
    np.testing.assert_array_equal(expert.down, real["down_proj"].T)


@pytest.mark.parametrize("shape", [(96, 1), (96,), (1,), ()])
def test_fp8_with_a_scale_a_channel_or_a_matrix_is_dequantised(tmp_path, shape):
    tensors = {name: t.astype(ml_dtypes.float8_e4m3fn) for name, t in FORMS["mixtral"].items() if "experts.0" in name}
    scales = {f"{name}_scale": np.full(shape if "w2" not in name else (), 0.5, np.float32) for name in tensors}
    save(tmp_path, tensors | scales, experts=1)
    expert = Checkpoint(tmp_path).experts(LAYER)[0]
    expected = GATE[0].astype(ml_dtypes.float8_e4m3fn).astype(np.float32) / 2
    np.testing.assert_array_equal(expert.gate_up[:, 0], expected)


def test_fp8_without_its_scales_or_with_others_is_refused(tmp_path):
    quantised, grid, _ = fp8(RNG.standard_normal((150, 130)))
    name = f"{MLP}.experts.0.gate_proj.weight"
    others = {f"{MLP}.experts.0.down_proj.weight": quantised.T, f"{MLP}.experts.0.up_proj.weight": quantised}
    save(tmp_path / "a", {name: quantised, **others}, experts=1)
    with pytest.raises(InputError, match="neither _scale_inv nor _scale"):
        Checkpoint(tmp_path / "a").experts(LAYER)[0]
    save(tmp_path / "b", {name: quantised, f"{name}_scale_inv": grid[:1], **others}, experts=1)
    with pytest.raises(InputError, match=r"a scale for every 128 x 128, \(2, 2\); got \(1, 2\)"):
        Checkpoint(tmp_path / "b").experts(LAYER)[0]


def test_what_is_missing_or_unknown_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"holds \.safetensors files; got none"):
        Checkpoint(tmp_path)
    save(tmp_path / "dense", {"model.layers.0.mlp.gate_proj.weight": np.zeros((4, H), np.float32)})
    with pytest.raises(InputError, match=r"has experts named .* such as model\.layers\.0\.mlp\.gate_proj\.weight"):
        Checkpoint(tmp_path / "dense")
    save(tmp_path / "int4", {f"{MLP}.experts.0.gate_proj.qweight": np.zeros((4, H), np.int32)})
    with pytest.raises(InputError, match=r"are separate, fused or in MXFP4 blocks; got 0\.gate_proj\.qweight"):
        Checkpoint(tmp_path / "int4").experts(LAYER)
    save(tmp_path / "static", FORMS["mixtral"] | {f"{MIXTRAL}.experts.1.w1.input_scale": np.ones(1, np.float32)})
    with pytest.raises(InputError, match=r"got 1\.w1\.input_scale"):
        Checkpoint(tmp_path / "static").experts(LAYER)
    some = {name: t for name, t in FORMS["mixtral"].items() if "experts.1.w2" not in name}
    save(tmp_path / "some", some)
    with pytest.raises(InputError, match=r"experts\.1\.w2\.weight: is in the checkpoint"):
        Checkpoint(tmp_path / "some").experts(LAYER)[1]
    with pytest.raises(RequestError, match="layer: is one with experts: 2; got 0"):
        Checkpoint(tmp_path / "some").experts(0)
    save(tmp_path / "shapes", FORMS["fused"] | {f"{MLP}.experts.down_proj": np.zeros((E, H, 7), np.float32)})
    with pytest.raises(InputError, match=r"got \(3, 192, 64\) with \(3, 64, 7\)"):
        Checkpoint(tmp_path / "shapes").experts(LAYER)[0]
    save(tmp_path / "router", {name: t for name, t in FORMS["fused"].items() if "experts" in name})
    with pytest.raises(InputError, match=r"has a router beside its experts; got none of gate\.weight, router"):
        Checkpoint(tmp_path / "router").router(LAYER)
