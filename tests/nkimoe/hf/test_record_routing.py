"""What routers of transformers choose is written down, and predicted with."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

from support.saved_models import save_model  # noqa: E402

from nkimoe.cli.main import main  # noqa: E402
from nkimoe.errors import RequestError  # noqa: E402
from nkimoe.hf import record_routing  # noqa: E402
from nkimoe.hf.load_model import experts_module, load_model  # noqa: E402

TOKENS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), "Qwen3Moe")


@pytest.fixture(scope="module")
def recorded(folder: Path) -> Path:
    model = load_model(folder)
    prompt = torch.arange(TOKENS)[None] % 64
    with torch.no_grad(), record_routing(model) as recorder:
        model(prompt[:, :10])
        model(prompt[:, 10:])
    recorder.record.save(folder / "routing.npz")
    return folder / "routing.npz"


def test_every_layer_has_what_its_router_chose_and_no_hook_is_left(folder: Path) -> None:
    model = load_model(folder)
    with torch.no_grad(), record_routing(model) as recorder:
        output = model(torch.arange(TOKENS)[None], output_router_logits=True)
    assert sorted(recorder.record.layers) == [0, 1, 2]
    for layer, logits in enumerate(output.router_logits):
        expected = np.sort(torch.topk(logits, 2).indices.numpy(), axis=1)
        assert np.array_equal(np.sort(recorder.record.layers[layer], axis=1), expected)
    assert not experts_module(model, 1)._forward_hooks


def test_a_model_without_experts_and_one_that_has_not_run_are_refused(folder: Path) -> None:
    with pytest.raises(RequestError, match="has experts"), record_routing(torch.nn.Linear(2, 2)):
        pass
    with record_routing(load_model(folder)) as recorder, pytest.raises(RequestError, match="has run"):
        _ = recorder.record


def test_a_sweep_predicts_layouts_with_a_record(folder: Path, recorded: Path, tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    with np.load(recorded) as layers:
        counts = np.bincount(layers["layers.1"].ravel(), minlength=6)
    rows, routing = tmp_path / "rows.json", ("--routing", str(recorded), "--routing-layer", "1")
    arguments = ["sweep", "--checkpoint", str(folder), "--tokens", str(TOKENS), "--tp", "1", "--ep", "1,2", *routing]
    result = CliRunner().invoke(main, [*arguments, "--no-cache", "--jobs", "1", "--json", str(rows)])
    assert result.exit_code == 0, result.output
    whole, half = json.loads(rows.read_text())["rows"]
    assert whole["rank_pairs"] == counts.sum() == TOKENS * 2
    assert half["rank_pairs"] == max(counts[:3].sum(), counts[3:].sum())
    assert whole["busiest_expert_over_mean"] == pytest.approx(counts.max() / counts.mean())


def test_a_model_is_predicted_with_the_least_and_the_most_loaded_layers_of_a_record(
    folder: Path, recorded: Path, tmp_path: Path
) -> None:
    pytest.importorskip("joblib")
    file = tmp_path / "prefill.json"
    arguments = ["model", "--checkpoint", str(folder), "--tp", "1", "--ep", "2", "--tokens", str(TOKENS)]
    arguments += ["--jobs", "1", "--no-cache", "--json", str(file)]
    found = {}
    for routing in ("uniform", str(recorded)):
        result = CliRunner().invoke(main, [*arguments, "--routing", routing])
        assert result.exit_code == 0, result.output
        (prefill,) = json.loads(file.read_text())["prefills"]
        found[routing] = {step["step"]: step for step in prefill["steps"]}
    experts = next(name for name in found["uniform"] if "experts" in name)
    even, real = (each[experts] for each in found.values())
    assert even["origin"] == real["origin"] == "nkimoe"
    assert real["us"] != even["us"]
    assert real["low_us"] <= real["us"] <= real["high_us"]


def test_run_computes_right_results_with_a_record_and_says_what_its_skew_costs(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nkimoe.models import MODELS, Model
    from nkimoe.routing import RoutingRule

    monkeypatch.setitem(MODELS, "olmoe-1b-7b", Model(96, 80, 6, RoutingRule(2), "made up"))
    file = tmp_path / "run.json"
    arguments = ["run", "--model", "olmoe-1b-7b", "--tp", "1", "--ep", "2", "--tokens", "30", "--json", str(file)]
    result = CliRunner().invoke(main, [*arguments, "--routing", str(recorded)])
    assert result.exit_code == 0, result.output
    assert "uniform routing is predicted" in " ".join(result.output.split())
    document = json.loads(file.read_text())
    assert document["correct"]["passed"] is True
    assert document["problem"]["E"] == 3
    assert document["routing"]["name"].startswith("recorded:layer 0")
    assert document["routing"]["uniform_us"] > 0
