"""int8 checkpoints: codes and scales come through as they are, and what is not read is refused by its name."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from support.saved_models import W8A8, compressed_tensors
from support.stored_checkpoints import store, with_routers

from nkimoe import InputError, MoECTEImplementation, MoECTESpec, SkipMode, moe_cte
from nkimoe.reference.tolerance import distance, int8_tolerance
from nkimoe.routing import build_block_mapping, scatter_affinities
from nkimoe.weights import (
    Checkpoint,
    Fp8Row,
    Int8,
    Plain,
    Shard,
    exact_rows,
    int8_arguments,
    pack,
    pack_checkpoint,
    read_layer,
    unpack,
)
from nkisim import Simulator

E, H, I, LAYER, K = 3, 200, 72, 2, 2
RNG = np.random.default_rng(0)
GATE, UP = (RNG.integers(-128, 128, (E, I, H)).astype(np.int8) for _ in range(2))
DOWN = RNG.integers(-128, 128, (E, H, I)).astype(np.int8)
GATE_SCALE, UP_SCALE = (RNG.uniform(5e-4, 2e-3, (E, I, 1)).astype(ml_dtypes.bfloat16) for _ in range(2))
DOWN_SCALE = RNG.uniform(5e-4, 2e-3, (E, H, 1)).astype(ml_dtypes.bfloat16)
MLP, MIXTRAL = f"model.layers.{LAYER}.mlp.experts", f"model.layers.{LAYER}.block_sparse_moe.experts"
CONFIG, ASCEND = "config.json", "quant_model_description.json"


def separate(prefix, *names, offset=None):
    tensors = {}
    for e in range(E):
        for name, codes, scale in zip(names, (GATE, UP, DOWN), (GATE_SCALE, UP_SCALE, DOWN_SCALE), strict=True):
            tensors[f"{prefix}.{e}.{name}.weight"] = codes[e]
            tensors[f"{prefix}.{e}.{name}.weight_scale"] = scale[e]
            if offset is not None:
                tensors[f"{prefix}.{e}.{name}.weight_offset"] = np.full_like(scale[e], offset)
    return tensors


QWEN = separate(MLP, "gate_proj", "up_proj", "down_proj")
ON_ASCEND = separate(MLP, "gate_proj", "up_proj", "down_proj", offset=0)
FUSED = {
    f"{MLP}.w13_weight": np.concatenate([GATE, UP], axis=1),
    f"{MLP}.w13_weight_scale": np.concatenate([GATE_SCALE, UP_SCALE], axis=1).astype(np.float32),
    f"{MLP}.w2_weight": DOWN,
    f"{MLP}.w2_weight_scale": DOWN_SCALE.astype(np.float32),
}
SGLANG = {"quant_method": "w8a8_int8"}
DYNAMIC = dict.fromkeys(ON_ASCEND, "W8A8_DYNAMIC")
FORMS = {
    "qwen3, compressed-tensors": (QWEN, {CONFIG: {"quantization_config": compressed_tensors()}}),
    "mixtral, compressed-tensors": (
        separate(MIXTRAL, "w1", "w3", "w2"), {CONFIG: {"quantization_config": compressed_tensors()}},
    ),
    "qwen3, sglang": (QWEN, {CONFIG: {"quantization_config": SGLANG}}),
    "qwen3, ascend": (ON_ASCEND, {ASCEND: DYNAMIC}),
    "fused, sglang": (FUSED, {CONFIG: {"quantization_config": SGLANG}}),
}  # fmt: skip
FORM = pytest.mark.parametrize("form", FORMS)


def save(folder: Path, tensors, described) -> Path:
    store(folder, with_routers(tensors, E, H))
    for name, document in ({CONFIG: {}} | described).items():
        (folder / name).write_text(json.dumps({"num_experts": E} | document if name == CONFIG else document))
    return folder


def opened(folder: Path, tensors, described):
    return Checkpoint(save(folder, tensors, described)).experts(LAYER)


@FORM
def test_every_form_gives_codes_and_scales_to_the_bit(tmp_path, form):
    experts = opened(tmp_path, *FORMS[form])
    assert len(experts) == E
    packed = pack(experts, Int8())
    padded = np.zeros((E, 256, 2, 80), np.int8)
    padded[:, :H, 0, :I], padded[:, :H, 1, :I] = GATE.swapaxes(1, 2), UP.swapaxes(1, 2)
    np.testing.assert_array_equal(packed["gate_up_proj_weight"], padded)
    np.testing.assert_array_equal(packed["down_proj_weight"][:, :I, :H], DOWN.swapaxes(1, 2))
    scales = packed["gate_up_proj_scale"].reshape(E, 2, 80)
    np.testing.assert_array_equal(scales[:, 0, :I], GATE_SCALE[..., 0].astype(np.float32))
    np.testing.assert_array_equal(scales[:, 1, :I], UP_SCALE[..., 0].astype(np.float32))
    np.testing.assert_array_equal(packed["down_proj_scale"][:, 0, :H], DOWN_SCALE[..., 0].astype(np.float32))
    assert not packed["down_proj_weight"][:, I:].any()
    assert {packed[name].dtype for name in ("gate_up_proj_scale", "down_proj_scale")} == {np.dtype(np.float32)}
    arguments = int8_arguments(experts, packed)
    assert arguments["activation_quantization"] == "int8_per_token"
    certified = exact_rows(packed["gate_up_proj_weight"], packed["down_proj_weight"])
    assert arguments["quantization_config"].exact_rows == certified
    with pytest.raises(IndexError, match="expert 3 of 3"):
        experts[E]


@FORM
@pytest.mark.parametrize("packing", [Plain(np.float32), Fp8Row()])
def test_other_packings_take_the_dequantised_experts(tmp_path, form, packing):
    experts = opened(tmp_path, *FORMS[form])
    real = [GATE[1].T * GATE_SCALE[1].astype(np.float32).T, DOWN[1].T * DOWN_SCALE[1].astype(np.float32).T]
    (_, expert, _) = unpack(pack(experts, packing), packing, H, I)
    bound = 0 if packing == Plain(np.float32) else 0.07
    for actual, expected in zip((expert.gate_up[:, 0], expert.down), real, strict=True):
        assert np.abs(actual - expected).max() <= bound * np.abs(expected).max()


@FORM
@pytest.mark.parametrize("tp", [2, 5])
def test_ranks_hold_the_codes_of_their_columns_and_add_up_to_the_layer(tmp_path, form, tp):
    checkpoint = Checkpoint(save(tmp_path, *FORMS[form]))
    whole = checkpoint.experts(LAYER)[1]
    parts = [checkpoint.experts(LAYER, Shard(tp, rank))[1] for rank in range(tp)]
    assert {part.gate_up.dtype for part in parts} == {np.dtype(np.int8)}
    m = RNG.standard_normal((4, I))
    padded = np.pad(m, ((0, 0), (0, -I % tp)))
    total = sum(
        rows @ part.dequantize().down.astype(np.float64)
        for rows, part in zip(np.split(padded, tp, axis=1), parts, strict=True)
    )
    np.testing.assert_allclose(total, m @ whole.dequantize().down.astype(np.float64), rtol=1e-10, atol=1e-10)
    columns = np.concatenate([part.dequantize().gate_up for part in parts], axis=2)[:, :, :I]
    np.testing.assert_array_equal(columns, whole.dequantize().gate_up)


def quantised(rows):
    """Codes and scales of float32 rows."""
    amax = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.float32(1e-7))
    return np.rint(rows * (np.float32(127) / amax)).astype(np.int64), amax / np.float32(127)


def in_integers(x, ids, weights):
    """The layer from the checkpoint's own arrays, with sums in int64."""
    out = np.zeros(x.shape, np.float32)
    codes, scale = quantised(x.astype(np.float32))
    for t, j in np.ndindex(*ids.shape):
        e = ids[t, j]
        gate, up = (
            (codes[t] @ w[e].T.astype(np.int64)).astype(np.float32) * scale[t] * s[e, :, 0].astype(np.float32)
            for w, s in ((GATE, GATE_SCALE), (UP, UP_SCALE))
        )
        m = (gate / (1 + np.exp(-gate)) * up).astype(ml_dtypes.bfloat16).astype(np.float32)
        inner, inner_scale = quantised(m[None])
        y = (inner[0] @ DOWN[e].T.astype(np.int64)).astype(np.float32) * inner_scale[0]
        out[t] += y * DOWN_SCALE[e, :, 0].astype(np.float32) * np.float32(weights[t, j])
    return out


@FORM
@pytest.mark.parametrize("cores", [1, 2])
def test_the_layer_is_that_of_integer_arithmetic(tmp_path, form, cores):
    experts, T = opened(tmp_path, *FORMS[form]), 40
    rng = np.random.default_rng(1)
    ids = np.argsort(rng.random((T, E)), axis=1)[:, :K].astype(np.int32)
    weights = rng.uniform(0.1, 1, (T, K)).astype(ml_dtypes.bfloat16).astype(np.float32)
    x = rng.standard_normal((T, H)).astype(ml_dtypes.bfloat16)
    mapping, packed = build_block_mapping(ids, E, 128), pack(experts, Int8())
    out = Simulator("trn2", cores).run(
        moe_cte, np.pad(x, ((0, 0), (0, 256 - H))), scatter_affinities(weights, ids, E, dtype=ml_dtypes.bfloat16),
        token_position_to_id=mapping.token_position_to_id, block_to_expert=mapping.block_to_expert, block_size=128,
        spec=MoECTESpec(MoECTEImplementation.shard_on_block), skip_dma=SkipMode(True), **packed,
        **int8_arguments(experts, packed),
    ).outputs  # fmt: skip
    found = distance(out[:, :H], in_integers(x, ids, weights))
    assert found.within(int8_tolerance("bfloat16", K, I)), found


def test_weights_alone_in_int8_leave_activations_as_they_are(tmp_path):
    described = {CONFIG: {"quantization_config": compressed_tensors(input_activations=None)}}
    experts = opened(tmp_path, QWEN, described)
    packed = pack(experts, Int8())
    assert packed["down_proj_weight"].dtype == np.int8
    assert int8_arguments(experts, packed) == {}
    (file,) = pack_checkpoint(tmp_path, tmp_path / "packed", Int8())
    assert set(read_layer(file)) == set(packed)


def test_files_of_packed_layers_say_that_activations_are_int8(tmp_path):
    save(tmp_path / "checkpoint", *FORMS["qwen3, compressed-tensors"])
    (file,) = pack_checkpoint(tmp_path / "checkpoint", tmp_path / "packed", Int8(), Shard(2, 1))
    experts = Checkpoint(tmp_path / "checkpoint").experts(LAYER, Shard(2, 1))
    expected, read = pack(experts, Int8()), read_layer(file)
    assert read["activation_quantization"] == "int8_per_token"
    for name, tensor in expected.items():
        np.testing.assert_array_equal(read[name], tensor)


def test_a_group_that_names_a_module_comes_before_one_that_names_its_class(tmp_path):
    config = compressed_tensors(input_activations=None)
    config["config_groups"]["group_1"] = {"targets": [r"re:.*mlp\.experts\..*"], **W8A8}
    experts = opened(tmp_path / "both", QWEN, {CONFIG: {"quantization_config": config}})
    assert experts[0].activation_quantization == "int8_per_token"
    config["config_groups"]["group_1"]["targets"] = [f"{MLP}.0.gate_proj"]
    with pytest.raises(InputError, match="quantises the activations of all its experts, or none; got some"):
        opened(tmp_path / "one", QWEN, {CONFIG: {"quantization_config": config}})
    config["config_groups"] = {"group_0": {"targets": ["re:.*self_attn.*"], **W8A8}}
    with pytest.raises(InputError, match=r"gate_proj: is in a group of config_groups in config\.json; got re:"):
        opened(tmp_path / "none", QWEN, {CONFIG: {"quantization_config": config}})


def scheme(which, **changes):
    return {CONFIG: {"quantization_config": compressed_tensors(**{which: {**W8A8[which], **changes}})}}


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({}, r"gate_proj\.weight: has integer weights that config\.json describes as compressed-tensors"),
        ({CONFIG: {"quantization_config": {"quant_method": "gptq"}}}, "got quant_method 'gptq'"),
        (scheme("weights", num_bits=4), r"gate_proj\.weight: weights\.num_bits: is 8; got 4"),
        (scheme("weights", strategy="group", group_size=32), r"weights\.strategy: is 'channel'; got 'group'"),
        (scheme("weights", strategy="tensor"), r"weights\.strategy: is 'channel'; got 'tensor'"),
        (scheme("weights", symmetric=False), r"weights\.symmetric: is True; got False"),
        (scheme("weights", type="float"), r"weights\.type: is 'int'; got 'float'"),
        (scheme("input_activations", num_bits=4), r"input_activations\.num_bits: is 8; got 4"),
        (scheme("input_activations", strategy="tensor"), r"input_activations\.strategy: is 'token'; got 'tensor'"),
        (scheme("input_activations", dynamic=False), r"input_activations\.dynamic: is True; got False"),
        (scheme("input_activations", symmetric=False), r"input_activations\.symmetric: is True; got False"),
        (scheme("input_activations", type="float"), r"input_activations\.type: is 'int'; got 'float'"),
        ({ASCEND: dict.fromkeys(QWEN, "W8A8")}, r"is W8A8_DYNAMIC or W8A16 in quant_model_desc.*got 'W8A8'"),
    ],
)
def test_descriptions_that_are_not_read_are_refused_by_the_word(tmp_path, described, message):
    assert len(opened(tmp_path / "good", *FORMS["qwen3, compressed-tensors"])) == E
    with pytest.raises(InputError, match=message):
        opened(tmp_path / "bad", QWEN, described)


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
@pytest.mark.parametrize("name", [CONFIG, ASCEND])
def test_a_damaged_description_is_refused_by_its_name(tmp_path, name, text):
    save(tmp_path, QWEN, {})
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"{name}: is a JSON object"):
        Checkpoint(tmp_path).experts(LAYER)


ONE = f"{MLP}.0.gate_proj"
CODES = QWEN[f"{ONE}.weight"]


@pytest.mark.parametrize(
    ("form", "change", "message"),
    [
        ("qwen3, sglang", {f"{ONE}.input_scale": np.ones(1, np.float32)}, r"0\.gate_proj\.input_scale: .*static"),
        ("qwen3, sglang", {f"{ONE}.weight_zero_point": np.ones((I, 1), np.int8)}, "weight_zero_point: is zero"),
        ("qwen3, sglang", {f"{ONE}.input_zero_point": np.ones(1, np.int8)}, "input_zero_point: has symmetric"),
        ("qwen3, sglang", {f"{ONE}.weight_packed": np.ones((I, 25), np.int32)}, "weight_packed: has one code a byte"),
        ("qwen3, sglang", {f"{ONE}.smooth_scale": np.ones(H, np.float32)}, "smooth_scale: .* not smoothed at run time"),
        ("qwen3, sglang", {f"{ONE}.weight_g_idx": np.ones(H, np.int32)}, "weight_g_idx: is a weight or its scale"),
        ("qwen3, sglang", {f"{ONE}.weight_scale": None}, r"weight_scale: is in the checkpoint; got no such tensor"),
        ("qwen3, sglang", {f"{ONE}.weight": None}, r"gate_proj\.weight: is in the checkpoint; got no such tensor"),
        ("qwen3, sglang", {f"{ONE}.weight_scale": np.ones((I, 4), np.float32)}, r"channel, \(72, 1\); got \(72, 4\)"),
        ("qwen3, sglang", {f"{ONE}.weight_scale": np.ones(1, np.float32)}, r"channel, \(72, 1\); got \(1,\)"),
        ("qwen3, sglang", {f"{ONE}.weight_scale": np.full((I, 1), np.nan, np.float32)}, "weight_scale: is finite"),
        ("qwen3, sglang", {f"{ONE}.weight": CODES.view(np.uint8)}, "is int8 codes, .*; got uint8 codes"),
        ("qwen3, sglang", {f"{ONE}.weight": CODES.astype(np.int32)}, "got int32 codes"),
        ("qwen3, sglang", {f"{ONE}.weight": CODES.astype(np.float32)}, "got float32 codes"),
        ("qwen3, sglang", {f"{ONE}.weight": CODES.T}, r"has gate, up \[I, H\] and down \[H, I\]; got \(200, 72"),
        ("qwen3, sglang", {f"{ONE}.weight": CODES[:, :-1]}, r"has gate, up \[I, H\] and down \[H, I\]; got \(72, 199"),
        ("qwen3, ascend", {f"{ONE}.weight_offset": np.ones((I, 1), np.float32)}, "weight_offset: is zero"),
        ("fused, sglang", {f"{MLP}.w2_weight": None}, "w2_weight: is in the checkpoint; got no such tensor"),
        ("fused, sglang", {f"{MLP}.w13_weight_scale": None}, "w13_weight_scale: is in the checkpoint"),
        ("fused, sglang", {f"{MLP}.w13_weight": FUSED[f"{MLP}.w13_weight"][:, :-1]}, r"\[E, 2I, H\].*\(3, 143, 200\)"),
        ("fused, sglang", {f"{MLP}.w13_input_scale": np.ones(E, np.float32)}, "w13_input_scale: .*static"),
    ],
)  # fmt: skip
def test_tensors_that_are_not_read_are_refused_by_name(tmp_path, form, change, message):
    tensors, described = FORMS[form]
    assert opened(tmp_path / "good", tensors, described)[0].H == H
    changed = {name: tensor for name, tensor in (tensors | change).items() if tensor is not None}
    with pytest.raises(InputError, match=message):
        opened(tmp_path / "bad", changed, described)[0]


@pytest.mark.parametrize("part", ["weight_offset", "weight_zero_point"])
def test_offsets_of_zero_are_taken(tmp_path, part):
    zeros = {f"{ONE}.{part}": np.zeros((I, 1), np.int8)}
    experts = opened(tmp_path, QWEN | zeros, {CONFIG: {"quantization_config": SGLANG}})
    np.testing.assert_array_equal(experts[0].gate_up[:, 0], GATE[0].T)


@pytest.mark.parametrize("scale", [0, 1e-38])
def test_a_dead_column_is_zero_and_not_nan(tmp_path, scale):
    dead = {f"{ONE}.weight_scale": np.full((I, 1), scale, np.float32)}
    packed = pack(opened(tmp_path, QWEN | dead, {CONFIG: {"quantization_config": SGLANG}}), Int8())
    assert np.isfinite(packed["gate_up_proj_scale"]).all()
    (expert, *_) = unpack(packed, Int8(), H, I)
    assert np.abs(expert.gate_up[:, 0]).max() < 1e-35
