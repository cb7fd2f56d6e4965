"""Damaged and incomplete checkpoints: each kind of damage ends in a named error, never in other weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from support.checkpoint_forms import FORMS, MLP, SIZES, E, H, made, packed_bytes, refusal_or_bytes, separate
from support.damage import INDEX, damage_text
from support.stored_checkpoints import describe, store, with_routers

from nkimoe.cli.main import main
from nkimoe.errors import InputError, RequestError
from nkimoe.weights import Checkpoint, pack_checkpoint

SECOND = "model-00002-of-00003.safetensors"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("has_index", [True, False])
def test_what_is_whole_is_packed(tmp_path, form, has_index):
    files = pack_checkpoint(made(tmp_path / "model", form, has_index=has_index), tmp_path / "out", FORMS[form][1])
    assert len(files) == 2


@pytest.mark.parametrize("first", [0, 1])
def test_shards_are_counted_from_0_or_1_as_their_names_are(tmp_path, first):
    tensors = with_routers(separate(), E, H)
    for number, name in enumerate(sorted(tensors)):
        store(tmp_path, {name: tensors[name]}, f"model-{number + first}-of-{len(tensors)}.safetensors")
    assert len(Checkpoint(describe(tmp_path, E)).experts(1)) == E
    (tmp_path / f"model-3-of-{len(tensors)}.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds the 20 files model-\.\.\.-of-00020\.safetensors; got no number 3"):
        Checkpoint(tmp_path)


FILES = {
    "a missing shard": (lambda f: (f / SECOND).unlink(), f"no {SECOND}"),
    "a missing shard without an index": (lambda f: ((f / SECOND).unlink(), (f / INDEX).unlink()), "got no number 2"),
    "an empty shard": (lambda f: (f / SECOND).write_bytes(b""), "got 0 bytes with a header of 0"),
    "a truncated shard": (lambda f: (f / SECOND).write_bytes((f / SECOND).read_bytes()[:-1]), "inside the file"),
    "a shard with bytes behind it": (
        lambda f: (f / SECOND).write_bytes((f / SECOND).read_bytes() + b"\0"),
        "ends with its last",
    ),
    "a shard that ends in its header": (
        lambda f: (f / SECOND).write_bytes((f / SECOND).read_bytes()[:50]),
        "50 bytes with a header",
    ),
    "a folder for a shard": (lambda f: ((f / SECOND).unlink(), (f / SECOND).mkdir()), f"no {SECOND}"),
    "a folder for a shard without an index": (
        lambda f: ((f / SECOND).unlink(), (f / SECOND).mkdir(), (f / INDEX).unlink()),
        "is a file; got a folder",
    ),
    "a link to nothing": (
        lambda f: ((f / SECOND).unlink(), (f / SECOND).symlink_to("blob"), (f / INDEX).unlink()),
        "a link to nothing",
    ),
    "a tensor in two shards": (
        lambda f: (shutil.copy(f / SECOND, f / "more.safetensors"), (f / INDEX).unlink()),
        "is in one file",
    ),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json: is a file; got nothing"),
    "an empty config": (lambda f: (f / "config.json").write_text(""), "config.json: is a JSON object"),
    "half a config": (lambda f: (f / "config.json").write_text('{"num_experts": 3'), "config.json: is a JSON object"),
    "a list for a config": (lambda f: (f / "config.json").write_text("[1]"), "is a JSON object; got list"),
    "a config not in UTF-8": (
        lambda f: (f / "config.json").write_bytes(b'{"\xff": 1}'),
        "is a JSON object; got 'utf-8'",
    ),
    "a config of nested lists": (lambda f: (f / "config.json").write_text("[" * 100_000), "is a JSON object"),
    "a folder for a config": (
        lambda f: ((f / "config.json").unlink(), (f / "config.json").mkdir()),
        "is a file; got a folder",
    ),
    "an empty index": (lambda f: (f / INDEX).write_text(""), f"{INDEX}: is a JSON object"),
    "a list for an index": (lambda f: (f / INDEX).write_text("[]"), "is a JSON object; got list"),
    "a folder for an index": (lambda f: ((f / INDEX).unlink(), (f / INDEX).mkdir()), "is a file; got a folder"),
    "an index of nothing": (lambda f: (f / INDEX).write_text('{"weight_map": {}}'), "has a weight_map"),
    "an index of numbers": (lambda f: (f / INDEX).write_text('{"weight_map": {"a": 1}}'), "has a weight_map"),
    "an index not in UTF-8": (lambda f: (f / INDEX).write_bytes(b"\xff\xfe{}"), f"{INDEX}: is a JSON object"),
}


@pytest.mark.parametrize("damage", FILES)
def test_a_damaged_file_is_refused_by_its_name(tmp_path, damage):
    folder, (change, message) = made(tmp_path / "model"), FILES[damage]
    change(folder)
    assert message in refusal(folder, tmp_path)


@pytest.mark.parametrize(
    "key", ["num_experts", "hidden_size", "moe_intermediate_size", "num_hidden_layers", "num_experts_per_tok"]
)
@pytest.mark.parametrize("value", [0, -3, "3", 3.0, True, [], [3, 4], {}, 1e400, 2**70], ids=repr)
def test_a_size_in_config_json_that_is_none_or_another_is_refused(tmp_path, key, value):
    if (key, value) == ("num_experts_per_tok", 2**70):
        pytest.skip("no file says how many experts a token has")
    folder = made(tmp_path / "model")
    describe(folder, **{"experts": E, **SIZES, key: value} if key != "num_experts" else {"experts": value, **SIZES})
    message = refusal(folder, tmp_path)
    assert key in message or "as config.json says" in message or "config.json names" in message


@pytest.mark.parametrize("config", [{}, {"num_experts": None}, {"text_config": 3}, {"text_config": {"num_experts": 4}}])
def test_a_config_that_does_not_say_how_many_experts_leaves_it_to_the_router(tmp_path, config):
    folder = made(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(config))
    if not config.get("text_config"):
        assert len(Checkpoint(folder).experts(1)) == E
        return
    assert "config" in refusal(folder, tmp_path)


TENSORS = {
    "no last expert": (
        lambda t: {n: v for n, v in t.items() if f".{E - 1}." not in n},
        "have experts = 3, as config.json says; got 2",
    ),
    "no middle expert": (
        lambda t: {n: v for n, v in t.items() if ".1." not in n.split("experts")[-1]},
        "is in the checkpoint",
    ),
    "no second layer": (lambda t: {n: v for n, v in t.items() if "layers.1." not in n}, "got no MLP of layer 1"),
    "no router": (
        lambda t: {n: v for n, v in t.items() if "layers.1.mlp.gate" not in n},
        "has a router beside its experts",
    ),
    "one more expert": (lambda t: t | {n.replace("experts.0", "experts.3"): v for n, v in t.items()}, "experts = 3"),
    "one of another type": (lambda t: changed(t, lambda v: v.astype(np.float16)), "is like the first expert"),
    "one in bits of another type": (lambda t: changed(t, lambda v: v.view(np.float16)), "is like the first expert"),
    "one of integers": (lambda t: changed(t, lambda v: v.view(np.int16)), "has integer weights that"),
    "one turned round": (lambda t: changed(t, lambda v: v.T), "has gate, up [I, H] and down [H, I]"),
    "one shorter": (lambda t: changed(t, lambda v: v[:-1]), "has gate, up [I, H] and down [H, I]"),
    "one flat": (lambda t: changed(t, np.ravel), "has gate, up [I, H] and down [H, I]"),
    "a whole expert smaller": (
        lambda t: {n: v[:32, :32] if "1.mlp.experts.2" in n else v for n, v in t.items()},
        "is like the first expert",
    ),
    "all experts smaller": (
        lambda t: {n: v[:32, :32] for n, v in t.items()},
        "have H = 64, as config.json says; got 32",
    ),
    "truth values": (lambda t: {n: v.astype(bool) if "expert" in n else v for n, v in t.items()}, "have weights of"),
}


def changed(tensors: dict[str, np.ndarray], change: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """With another gate projection of one expert of the second layer."""
    name = f"{MLP.format(1)}.2.gate_proj.weight"
    return {**tensors, name: change(tensors[name])}


@pytest.mark.parametrize("damage", TENSORS)
def test_experts_that_are_not_all_there_and_alike_are_refused(tmp_path, damage):
    change, message = TENSORS[damage]
    folder = store(describe(tmp_path / "model", E, **SIZES), change(with_routers(separate(), E, H)))
    assert message in refusal(folder, tmp_path)


@pytest.mark.parametrize(
    ("form", "name", "change", "message"),
    [
        (
            "fused with biases",
            "down_proj_bias",
            None,
            "comes with gate_up_proj_bias and down_proj_bias; got one of them",
        ),
        ("fused with biases", "down_proj_bias", lambda v: v[:-1], "is floats (3, 64)"),
        ("fused with biases", "down_proj_bias", lambda v: v.view(np.int16), "down_proj_bias: is bf16, fp16 or fp32"),
        ("fused with biases", "down_proj", lambda v: v.view(np.float16), "is float16 like down_proj"),
        ("fused with biases", "gate_up_proj", lambda v: v[0], "is [E, 2I, H]"),
        ("fused with biases", "gate_up_proj", lambda v: v[:-1], "is [E, 2I, H]"),
        ("fused with biases", "gate_up_proj", lambda v: v.swapaxes(1, 2), "is [E, 2I, H]"),
        ("mxfp4 blocks", "gate_up_proj_scales", None, "are separate, fused or in MXFP4 blocks"),
        ("mxfp4 blocks", "gate_up_proj_scales", lambda v: v[:, 1:], "have a scale for every block"),
        ("mxfp4 blocks", "gate_up_proj_blocks", lambda v: v[:, 1:], "are [E, 2I, H/32, 16]"),
        ("mxfp4 blocks", "down_proj_blocks", lambda v: v[0], "are [E, 2I, H/32, 16]"),
        ("mxfp4 blocks", "gate_up_proj_bias", lambda v: v[:, 1:], "is floats (3, 192)"),
        ("fp8 blocks", "2.up_proj.weight_scale_inv", None, "neither _scale_inv nor _scale"),
        ("fp8 blocks", "2.up_proj.weight_scale_inv", lambda v: v * np.nan, "is finite"),
        ("fp8 blocks", "2.up_proj.weight_scale_inv", lambda v: v.view(np.int32), "has a type of"),
        ("fp8 blocks", "2.up_proj.weight_scale_inv", lambda v: v[:0], "has a scale for every 128 x 128"),
        ("int8", "2.up_proj.weight_scale", None, "weight_scale: is in the checkpoint"),
        ("int8", "2.up_proj.weight_scale", lambda v: v.view(np.int32), "has a type of"),
    ],
)
def test_tensors_beside_the_weights_are_refused_by_name(tmp_path, form, name, change, message):
    tensors, _, more = FORMS[form]
    tensors, full = with_routers(tensors, E, H), f"{MLP.format(1)}.{name}"
    tensors = {n: t if n != full else change(t) for n, t in tensors.items() if n != full or change is not None}
    assert message in refusal(store(describe(tmp_path / "model", E, **SIZES, **more), tensors), tmp_path, form)


def refusal(folder: Path, scratch: Path, form: str = "separate") -> str:
    """The one line with which packing ends; no folder is made."""
    with pytest.raises(RequestError) as caught:
        pack_checkpoint(folder, scratch / "out", FORMS[form][1])
    assert not (scratch / "out").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", FORMS)
def test_no_random_damage_ends_in_other_weights_or_an_error_without_a_name(tmp_path, form, seed):
    rng = np.random.default_rng([seed, len(form)])
    whole = made(tmp_path / "whole", form)
    expected = packed_bytes(whole, form, tmp_path / "expected")
    refused = 0
    for n in range(40):
        folder = tmp_path / f"damaged-{n}"
        shutil.copytree(whole, folder)
        what = damage_text(folder, rng)
        error, found = refusal_or_bytes(folder, form, tmp_path / f"packed-{n}")
        assert found in (None, expected), what
        assert "\n" not in error, what
        refused += bool(error)
    assert refused > 10


@pytest.mark.parametrize("command", ["pack", "run"])
@pytest.mark.parametrize("damage", ["a missing shard", "a truncated shard", "no config", "a list for a config"])
def test_both_commands_end_with_status_2_and_one_line(tmp_path, command, damage):
    folder, (change, message) = made(tmp_path / "model"), FILES[damage]
    change(folder)
    arguments = {
        "pack": [str(folder), str(tmp_path / "out"), "--weights", "bf16"],
        "run": ["--checkpoint", str(folder), "--layer", "1"],
    }
    ended = CliRunner().invoke(main, [command, *arguments[command]])
    assert ended.exit_code == 2, ended.output
    assert "Traceback" not in ended.output
    assert message in " ".join(ended.output.split())
