"""`nkisim fit` writes a machine file, and --machine predicts with it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from nkimoe.cli.main import main as nkimoe
from nkisim.__main__ import main as nkisim
from nkisim.machine import load_machine, machine_text, read_machine

KERNEL = f"{Path(__file__).resolve().parents[1] / 'support' / 'timed_kernels.py'}:every_engine"
INPUTS = ("--input", "x=128x128", "--input", "w=128x128")
TURN = {"sync.loop_turn": 1}


def invoke(command: click.Command, *words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    points = [
        {"point": f"{n} turns", "values": [500 + 300.0 * n], "terms": [{"factor": n, "powers": TURN}]}
        for n in (1, 4, 8)
    ]
    probe = {"probe": "loop turn", "settles": list(TURN), "how": "", "has_base": True, "measurements": points}
    path = tmp_path / "measured.json"
    path.write_text(
        json.dumps({"schema_version": 1, "target": "trn2", "device": "trn2.3xlarge", "probes": [probe]}), "utf-8"
    )
    return path


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A Trn2 whose transfers take 100 us."""
    path = tmp_path / "slow.toml"
    path.write_text(machine_text(load_machine("trn2").with_value("dma.complete", 100_000.0), "slow"), "utf-8")
    return path


def test_fit_writes_a_machine_file_and_says_what_moved(measured: Path, tmp_path: Path) -> None:
    done = invoke(nkisim, "fit", measured, "-o", tmp_path / "my-trn2.toml")
    assert done.exit_code == 0, done.output
    assert "sync.loop_turn" in done.output
    assert "wrote " in done.output
    assert read_machine(tmp_path / "my-trn2.toml").number("sync.loop_turn") == pytest.approx(300, rel=0.01)
    assert "measured on trn2.3xlarge" in (tmp_path / "my-trn2.toml").read_text("utf-8")


def test_fit_refuses_what_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("{}")
    done = invoke(nkisim, "fit", tmp_path / "empty.json", "-o", tmp_path / "my.toml")
    assert done.exit_code == 2
    assert "the field 'schema_version' is missing" in done.output
    assert not (tmp_path / "my.toml").exists()


@pytest.mark.parametrize("command", ["run", "trace", "roofline"])
def test_every_command_predicts_with_a_machine_file(command: str, slow: Path, tmp_path: Path) -> None:
    output = () if command == "run" else ("-o", tmp_path / "out.png")
    assert invoke(nkisim, command, KERNEL, *INPUTS, "--machine", slow, *output).exit_code == 0


def test_the_machine_file_says_which_target_and_how_long(slow: Path, tmp_path: Path) -> None:
    for name, words in (("shipped", ("--target", "trn2")), ("slow", ("--machine", slow))):
        done = invoke(nkisim, "run", KERNEL, *INPUTS, *words, "--json", tmp_path / f"{name}.json")
        assert done.exit_code == 0, done.output
    shipped, mine = (json.loads((tmp_path / f"{name}.json").read_text("utf-8")) for name in ("shipped", "slow"))
    assert mine["target"] == "trn2"
    assert mine["predicted"]["latency_us"] > 100 + shipped["predicted"]["latency_us"]


def test_nkimoe_predicts_with_a_machine_file(slow: Path) -> None:
    words = ("op", "moe_sorting", "--tokens", 64, "--no-numerics")
    shipped, mine = (invoke(nkimoe, *words, *more) for more in ((), ("--machine", slow)))
    assert (shipped.exit_code, mine.exit_code) == (0, 0), mine.output
    assert shipped.output != mine.output


@pytest.mark.parametrize("words", [("run",), ("demo",), ("tune", "table.csv"), ("op", "moe_sorting")])
def test_commands_of_nkimoe_refuse_a_machine_file_that_is_none(words: tuple[str, ...], measured: Path) -> None:
    done = invoke(nkimoe, *words, "--machine", measured)
    assert done.exit_code == 2
    assert "no machine file" in done.output


def test_target_and_machine_file_must_agree(slow: Path) -> None:
    done = invoke(nkisim, "run", KERNEL, *INPUTS, "--machine", slow, "--target", "trn3")
    assert done.exit_code == 2
    assert "the machine file in use describes trn2" in done.output
