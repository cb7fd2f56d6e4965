"""`nkimoe run --checkpoint`: a saved model's layer against transformers' own experts."""

import json
import warnings

import pytest
from click.testing import CliRunner

from nkimoe.cli.main import main

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5")

SIZES = {
    "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
    "vocab_size": 64, "intermediate_size": 80,
}  # fmt: skip
MODELS = {
    "Qwen3Moe": {"moe_intermediate_size": 80, "num_experts": 6, "num_experts_per_tok": 2},
    "GptOss": {"num_local_experts": 6, "num_experts_per_tok": 2},
}


@pytest.fixture(params=MODELS)
def folder(request, tmp_path):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = getattr(transformers, f"{request.param}Config")(**SIZES, **MODELS[request.param])
        model = getattr(transformers, f"{request.param}ForCausalLM")(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        model.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def run(folder, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CliRunner().invoke(main, ["run", "--checkpoint", str(folder), "--tokens", "50", *arguments])


def test_a_layer_of_a_checkpoint_agrees_with_transformers(folder, tmp_path):
    result = run(folder, "--layer", "1", "--json", str(tmp_path / "out.json"))
    assert result.exit_code == 0, result.output
    assert "from its own experts" in " ".join(result.output.split())
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["problem"] == {"T": 50, "H": 128, "E": 6, "I": 80, "K": 2, "B": 128, "N": 6}
    correct = document["correct"]
    assert correct["passed"]
    assert 0 < correct["transformers_rel_l2"] <= correct["tolerance"]


def test_layers_differ_and_text_counts(folder, tmp_path):
    (tmp_path / "text.txt").write_text("one two three one two three")
    for arguments in (("--layer", "0"), ("--layer", "2", "--text", str(tmp_path / "text.txt"))):
        assert run(folder, *arguments).exit_code == 0
    assert "3 distinct" in run(folder, "--layer", "2", "--text", str(tmp_path / "text.txt")).output


def test_a_rank_of_a_layer_is_run_but_not_compared(folder):
    result = run(folder, "--layer", "1", "--tp", "2")
    assert result.exit_code == 0, result.output
    assert "from its own experts" not in result.output
    assert "I=48" in result.output


def test_a_layer_that_is_not_there_is_refused(folder):
    result = run(folder, "--layer", "7")
    assert result.exit_code == 2
    assert "is one with experts: 0-2" in " ".join(result.output.split())
