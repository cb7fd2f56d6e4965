"""`nkimoe model`: steps, files, recorded routing, and what cannot be."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("joblib")

from nkimoe.cli.main import main
from nkimoe.cli.model.library import CALLS, PACKAGE
from nkimoe.prefill.estimate import Origin

TINY = {
    "hidden_size": 256, "moe_intermediate_size": 64, "num_experts": 8, "num_experts_per_tok": 2, "vocab_size": 512,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def own_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is imported as nkilib is forgotten."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "nkilib"]:
        del sys.modules[name]


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(TINY))
    return str(file)


def model(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["model", "--jobs", "1", *arguments])


def prefills(tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    file = tmp_path / "prefills.json"
    result = model("--json", str(file), *arguments)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(file.read_text())["prefills"]
    return found


def test_the_time_to_first_token_is_the_sum_of_its_steps(tmp_path: Path, tiny: str) -> None:
    few, many = prefills(tmp_path, "--config", tiny, "--tp", "2", "--tokens", "64,128")
    for each in (few, many):
        for bound in ("us", "low_us", "high_us"):
            assert each["first_token"][bound] == pytest.approx(sum(s["calls"] * s[bound] for s in each["steps"]))
        assert sum(each["shares"].values()) == pytest.approx(1)
        assert {s["step"]: s["calls"] for s in each["steps"]}["experts"] == 3
    assert few["first_token"]["us"] < many["first_token"]["us"]


def test_experts_take_what_a_sweep_predicts_of_the_layer(tmp_path: Path, tiny: str) -> None:
    (whole,) = prefills(tmp_path, "--config", tiny, "--tp", "1", "--ep", "2", "--tokens", "64")
    (experts,) = (step for step in whole["steps"] if step["step"] == "experts")
    file = tmp_path / "rows.json"
    sweep = ["sweep", "--config", tiny, "--tp", "1", "--ep", "2", "--tokens", "64", "--jobs", "1", "--json", str(file)]
    assert CliRunner().invoke(main, sweep).exit_code == 0
    (row,) = json.loads(file.read_text())["rows"]
    assert (experts["us"], experts["low_us"]) == (row["latency_us"], row["low_us"])
    assert experts["origin"] == "nkimoe"


def test_a_second_run_simulates_nothing(tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("--config", tiny, "--tp", "1", "--tokens", "64")
    first = prefills(tmp_path, *arguments)
    monkeypatch.setattr("nkimoe.cli.model.command.sample", lambda *_: pytest.fail("simulated again"))
    assert prefills(tmp_path, *arguments) == first


def test_a_csv_has_a_line_a_step_and_a_picture_is_drawn(tmp_path: Path, tiny: str) -> None:
    pytest.importorskip("matplotlib")
    table, picture = tmp_path / "steps.csv", tmp_path / "steps.svg"
    arguments = ("--config", tiny, "--tp", "1", "--tokens", "64", "--csv", str(table), "--picture", str(picture))
    (whole,) = prefills(tmp_path, *arguments)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["step"] for row in rows] == [step["step"] for step in whole["steps"]]
    assert "<svg" in picture.read_text()


def test_a_record_widens_the_interval_to_its_least_and_most_uneven_layers(tmp_path: Path, tiny: str) -> None:
    even = np.stack([np.arange(64) % 8, (np.arange(64) + 1) % 8], axis=1)
    uneven = np.tile([[0, 1]], (64, 1))
    record = tmp_path / "record.npz"
    np.savez(record, **{"layers.0": uneven, "layers.1": even, "layers.2": even})
    arguments = ("--config", tiny, "--tp", "1", "--ep", "4", "--tokens", "64")

    def experts(*more: str) -> dict[str, Any]:
        (whole,) = prefills(tmp_path, *arguments, *more)
        return next(step for step in whole["steps"] if step["step"] == "experts")

    recorded, uniform = experts("--routing", str(record)), experts("--routing", "uniform")
    assert recorded["low_us"] < recorded["us"] < recorded["high_us"]
    assert recorded["high_us"] > uniform["high_us"] or recorded["low_us"] < uniform["low_us"]


def test_steps_of_more_tokens_than_are_simulated_say_that_they_are_extended(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nkimoe.cli.model.simulations.MOST_OF_OTHERS", 64)
    monkeypatch.setattr("nkimoe.cli.model.simulations.MOST_SIMULATED", {"experts": 64})
    (whole,) = prefills(tmp_path, "--config", tiny, "--tp", "1", "--tokens", "256")
    assert {s["step"] for s in whole["steps"] if s["extended"]} == {"experts", "routing tables"}
    assert 0 < whole["share_extended"] < 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--tp", "1000"), "tp"),
        (("--tp", "3"), "heads"),
        (("--ep", "3"), "ep"),
        (("--ep", "2", "--groups", "2"), "prompts"),
        (("--ep", "2", "--groups", "3"), "groups"),
        (("--ep", "8", "--groups", "8", "--prompts", "8", "--chips", "1"), "chips"),
        (("--weights", "mxfp8"), "trn2 has no MX"),
        (("--tokens", "0"), "tokens"),
        (("--routing", "zipf:x"), "zipf"),
        (("--routing", "absent.npz"), "absent.npz"),
        (("--model", "qwen3-30b-a3b"), "leave all but one out"),
        (("--cache", "c", "--no-cache"), "contradict"),
        (("--exchange", "all-to-nobody"), "all-to-all"),
        (("--picture", "p.txt"), "picture"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(tiny: str, arguments: tuple[str, ...], says: str) -> None:
    result = model("--config", tiny, "--tp", "1", *arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output


def test_a_folder_without_nki_library_is_refused(tmp_path: Path, tiny: str) -> None:
    result = model("--config", tiny, "--tp", "1", "--nkilib", str(tmp_path))
    assert result.exit_code == 2
    assert "clone of nki-library" in result.output


def test_kernels_of_a_checkout_take_the_place_of_arithmetic_and_one_that_fails_says_why(
    tmp_path: Path, tiny: str, own_modules: None
) -> None:
    """A stand-in with the names of the package: its MLP is missing, its projection copies its input."""
    core = tmp_path / "clone" / PACKAGE / "nkilib" / "core"
    projection = core / "output_projection" / "output_projection_cte"
    projection.mkdir(parents=True)
    for folder in (core.parent, core, projection.parent, projection):
        (folder / "__init__.py").write_text("")
    (projection / "output_projection_cte.py").write_text(
        "import nki\nimport nki.isa as nisa\nimport nki.language as nl\n\n"
        "@nki.jit\ndef output_projection_cte(attention, weight):\n"
        "    out = nl.ndarray(weight.shape, dtype=weight.dtype, buffer=nl.shared_hbm)\n"
        "    nisa.dma_copy(dst=out, src=weight)\n    return out\n"
    )
    arguments = ("--config", tiny, "--tp", "1", "--tokens", "64", "--lnc", "1", "--nkilib", str(tmp_path / "clone"))
    (whole,) = prefills(tmp_path, *arguments)
    by_name = {step["step"]: step for step in whole["steps"]}
    assert by_name["output projection"]["origin"] == Origin.LIBRARY.name.lower()
    assert by_name["attention"]["origin"] == Origin.ARITHMETIC.name.lower()
    assert "nkilib" in by_name["attention"]["note"]
    assert len(CALLS) == 4
