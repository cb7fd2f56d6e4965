"""`nkimoe run --checkpoint`: a saved model's layer against transformers' own experts."""

import json
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.saved_models import (
    FAMILIES,
    compressed_tensors,
    quantise_to_fp8,
    quantise_to_int8,
    quantise_to_mxfp4,
    save_model,
    save_tokenizer,
)

from nkimoe.cli.main import main

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

IN_INT8 = {
    "Qwen3Moe in int8": {},
    "Mixtral in int8 of SGLang": {"quantisation": {"quant_method": "w8a8_int8"}},
    "Qwen3Moe in int8 of Ascend": {"offsets": True},
    "Qwen3Moe with int8 weights": {"quantisation": compressed_tensors(input_activations=None)},
}
WORDS = [f"word{i}" for i in range(63)]


def make(folder, kind):
    """A checkpoint of a family, or of one of the quantised forms that are published."""
    if kind == "GptOss in MXFP4":
        pytest.importorskip("accelerate")
        quantise_to_mxfp4(save_model(folder, "GptOss", dtype=torch.bfloat16))
    elif kind == "DeepseekV3 in FP8":
        pytest.importorskip("accelerate")
        quantise_to_fp8(save_model(folder, "DeepseekV3"))
    elif kind in IN_INT8:
        quantise_to_int8(save_model(folder, kind.split()[0]), **IN_INT8[kind])
    else:
        save_model(folder, kind, shard_size="100KB", dtype=torch.bfloat16)
        assert (folder / "model.safetensors.index.json").is_file()
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """From a kind to its checkpoint, made once."""
    made: dict[str, Path] = {}
    root = tmp_path_factory.mktemp("checkpoints")

    def of(kind):
        if kind not in made:
            made[kind] = make(root / kind.replace(" ", "-"), kind)
        return made[kind]

    return of


def run(folder, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CliRunner().invoke(main, ["run", "--checkpoint", str(folder), "--tokens", "50", *arguments])


def correct(folder, out, *arguments):
    """The JSON's `correct` of a run that passed."""
    result = run(folder, "--json", str(out), *arguments)
    assert result.exit_code == 0, result.output
    assert "LOAD REPORT" not in result.output
    document = json.loads(out.read_text())
    assert document["correct"]["passed"]
    return document["correct"]


@pytest.mark.parametrize("kind", [*FAMILIES, "GptOss in MXFP4", "DeepseekV3 in FP8", "Mixtral in int8 of SGLang"])
def test_a_layer_of_a_checkpoint_agrees_with_transformers(saved, tmp_path, kind):
    found = correct(saved(kind), tmp_path / "out.json", "--layer", "1")
    assert 0 < found["transformers_rel_l2"] <= found["tolerance"]


def test_sizes_are_the_models(saved, tmp_path):
    result = run(saved("Qwen3Moe"), "--layer", "1", "--block-size", "32", "--json", str(tmp_path / "out.json"))
    assert "from its own experts" in " ".join(result.output.split())
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["problem"] == {"T": 50, "H": 128, "E": 6, "I": 80, "K": 2, "B": 32, "N": 8}


@pytest.mark.parametrize(
    ("kind", "weights", "distance"),
    [
        ("GptOss in MXFP4", ("--weights", "mxfp4", "--target", "trn3"), 0.06),  # its own blocks; activations quantised
        ("GptOss in MXFP4", ("--weights", "mxfp4", "--dequantise"), 4e-3),  # its own blocks, plain activations
        ("Mixtral", ("--weights", "mxfp8", "--target", "trn3"), 0.08),
        ("DeepseekV3", ("--weights", "fp8-row"), 0.05),
        ("Mixtral", ("--weights", "int8"), 0.05),
        ("DeepseekV3 in FP8", ("--weights", "fp8-block"), 4e-3),  # its own blocks
        ("DeepseekV3 in FP8", ("--weights", "fp8-block", "--target", "trn3", "--variant", "shard_on_i"), 4e-3),
        ("Olmoe", ("--weights", "fp8-static", "--target", "trn3", "--variant", "shard_on_i"), 0.08),
    ],
)
def test_weights_in_other_formats_come_close_to_transformers(saved, tmp_path, kind, weights, distance):
    found = correct(saved(kind), tmp_path / "out.json", "--layer", "1", *weights)
    assert 0 < found["transformers_rel_l2"] < distance


@pytest.mark.parametrize("kind", list(IN_INT8)[:3])
def test_an_int8_checkpoint_runs_with_int8_activations_and_says_so(saved, tmp_path, kind):
    result = run(saved(kind), "--layer", "1", "--weights", "int8", "--json", str(tmp_path / "out.json"))
    assert result.exit_code == 0, result.output
    assert "weights int8, activations int8" in " ".join(result.output.split())
    document = json.loads((tmp_path / "out.json").read_text())
    assert (document["weights"], document["activations"]) == ("int8", "int8")
    found = document["correct"]
    assert found["passed"]
    assert found["rel_l2"] < found["tolerance"] < found["rel_l2_unquantised"] < 0.05
    assert found["tolerance"] < found["transformers_rel_l2"] < 0.05


def test_weights_alone_in_int8_run_with_plain_activations_and_say_so(saved, tmp_path):
    folder, out = saved("Qwen3Moe with int8 weights"), tmp_path / "out.json"
    result = run(folder, "--layer", "1", "--weights", "int8", "--json", str(out))
    assert result.exit_code == 0, result.output
    assert "weights int8, activations bf16" in " ".join(result.output.split())
    found = json.loads(out.read_text())["correct"]
    assert found["passed"]
    assert found["rel_l2_unquantised"] is None


@pytest.mark.parametrize(
    ("kind", "activations"), [("Qwen3Moe in int8", "int8"), ("Qwen3Moe with int8 weights", "not quantised")]
)
def test_an_int8_checkpoint_with_other_weights_is_dequantised_and_says_so(saved, tmp_path, kind, activations):
    result = run(saved(kind), "--layer", "1", "--json", str(tmp_path / "out.json"))
    assert result.exit_code == 0, result.output
    said = f"dequantised: the checkpoint's weights are int8, its activations {activations} (--weights int8)"
    assert said in " ".join(result.output.split())
    assert json.loads((tmp_path / "out.json").read_text())["activations"] == "bf16"


def test_a_rank_of_an_int8_layer_and_shapes_alone_are_run(saved, tmp_path):
    assert run(saved("Qwen3Moe in int8"), "--layer", "0", "--weights", "int8", "--tp", "3").exit_code == 0
    predicted = {}
    for name, more in (("full", ()), ("shapes", ("--no-numerics",))):
        arguments = ("--layer", "0", "--weights", "int8", "--json", str(tmp_path / name), *more)
        assert run(saved("Qwen3Moe in int8"), *arguments).exit_code == 0
        predicted[name] = json.loads((tmp_path / name).read_text())["predicted"]
    assert predicted["full"] == predicted["shapes"]


def test_int8_that_is_not_read_ends_with_its_name(tmp_path):
    four = {"weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True}}
    folder = quantise_to_int8(save_model(tmp_path, "Qwen3Moe"), compressed_tensors(**four))
    result = run(folder, "--layer", "1", "--weights", "int8")
    assert result.exit_code == 2
    assert "_proj.weight: weights.num_bits: is 8; got 4" in " ".join(result.output.split())


def test_layers_differ_and_text_counts(saved, tmp_path):
    (tmp_path / "text.txt").write_text("one two three one two three")
    assert run(saved("GptOss"), "--layer", "0").exit_code == 0
    assert "3 distinct" in run(saved("GptOss"), "--layer", "2", "--text", str(tmp_path / "text.txt")).output
    assert "4 distinct" in run(saved("GptOss"), "--layer", "2", "--prompt", "to be, or to be").output


def test_the_checkpoints_tokenizer_reads_the_prompt(tmp_path):
    from nkimoe.hf.checkpoint_layer import experts_call

    prompt, folder = "word5 word9 unheard word5", save_model(tmp_path, "Qwen3Moe")
    numbered = experts_call(folder, 0, prompt, 4)
    save_tokenizer(folder, WORDS)
    read = experts_call(folder, 0, prompt, 4)
    assert read.distinct_tokens == numbered.distinct_tokens == 3
    assert (read.hidden_states != numbered.hidden_states).any(), "words are numbered without a tokenizer"
    same = experts_call(folder, 0, "word5 word9 <unk> word5", 4)
    assert (read.hidden_states == same.hidden_states).all()


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    folder = save_model(tmp_path, "Qwen3Moe")
    save_tokenizer(folder, [f"word{i}" for i in range(100)])
    result = run(folder, "--layer", "0", "--prompt", "word99")
    assert result.exit_code == 2
    assert "vocabulary of 64; got 100" in " ".join(result.output.split())


def test_a_rank_of_a_layer_is_run_but_not_compared(saved):
    result = run(saved("Qwen3Moe"), "--layer", "1", "--tp", "2")
    assert result.exit_code == 0, result.output
    assert "from its own experts" not in result.output
    assert "I=48" in result.output


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        ("Qwen3Moe", ()),
        ("GptOss in MXFP4", ("--weights", "mxfp4", "--target", "trn3")),
        ("Mixtral in int8 of SGLang", ("--weights", "int8")),
    ],
)
def test_of_ranks_that_share_the_experts_one_is_run_with_its_own(saved, tmp_path, kind, weights):
    found = correct(saved(kind), tmp_path / "out.json", "--layer", "1", "--ep", "2", *weights)
    assert "transformers_rel_l2" not in found
    assert json.loads((tmp_path / "out.json").read_text())["problem"]["E"] == 3


def test_a_layer_that_is_not_there_is_refused(saved):
    result = run(saved("Qwen3Moe"), "--layer", "7")
    assert result.exit_code == 2
    assert "is one with experts: 0-2" in " ".join(result.output.split())
    result = run(saved("DeepseekV3"), "--layer", "0")
    assert "is one with experts: 1-2" in " ".join(result.output.split()), "its first layer is dense"


def damage_no_config(folder):
    (folder / "config.json").unlink()


def damage_unknown_architecture(folder):
    (folder / "config.json").write_text('{"model_type": "unheard_of"}')


def damage_lost_shard(folder):
    next(folder.glob("model-00002*")).unlink()


def damage_lost_router(folder):
    index = folder / "model.safetensors.index.json"
    entries = json.loads(index.read_text())
    entries["weight_map"] = {name: file for name, file in entries["weight_map"].items() if ".1.mlp.gate." not in name}
    index.write_text(json.dumps(entries))
    for file in folder.glob("*.safetensors"):
        from safetensors.torch import load_file, save_file

        kept = {name: t for name, t in load_file(file).items() if ".1.mlp.gate." not in name}
        save_file(kept, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_no_config, "config.json: is a file; got nothing of that name"),
        (damage_unknown_architecture, "is one that transformers loads"),
        (damage_lost_shard, "holds the files its index names"),
        (damage_lost_router, "has all tensors of the layers up to 1; got no model.layers.1.mlp.gate.weight"),
    ],
)
def test_damaged_checkpoints_are_refused_with_status_2_and_a_reason(tmp_path, damage, message):
    damage(save_model(tmp_path / "tiny", "Qwen3Moe", shard_size="100KB"))
    result = run(tmp_path / "tiny", "--layer", "1")
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
