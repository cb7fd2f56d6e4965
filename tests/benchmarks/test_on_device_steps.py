"""The five steps: what they would run, what they keep of it, and what the last one makes of all."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from on_device import check_cases, compare_cases, compile_cases, profile_cases, time_cases
from on_device.case import Case
from on_device.cases import cases_of
from on_device.commands import Command
from on_device.compile_one import save
from on_device.explorer_summary import ENGINES, ProfileSummary
from on_device.instruction_table import by_line, by_opcode
from on_device.place import DONE, FAILED, Place
from on_device.predicted import predict
from on_device.side_by_side import opcode_kind
from on_device.step import Options, Step, command_of
from support.played_device import PlayedDevice

from nkisim.fitting import read_measured
from nkisim.machine import load_machine

STEPS = (compile_cases, check_cases, time_cases, profile_cases, compare_cases)
CASE = "probe.dma-complete.0"


def invoke(command: click.Command, *words: str) -> Result:
    return CliRunner().invoke(command, words)


def echoing(words: Sequence[str]) -> Step:
    """A step whose only command are these words, which leave the file `left` if they work."""

    def result(case: Case, place: Place) -> dict[str, str]:
        return {"left": (place.folder / "left").read_text()}

    def commands(case: Case, place: Place, options: Options) -> list[Command]:
        return [Command((*words, str(place.folder / "left")), {"MARK": "a b"})]

    return Step("echo", None, commands, lambda place: [place.folder / "left"], result)


WORKS = (sys.executable, "-c", "import os, sys; open(sys.argv[1], 'a').write(os.environ['MARK']); print('said')")
FAILS = (sys.executable, "-c", "import sys; sys.exit('error: NCC_1234 line 5\\n  verbatim')")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__.rpartition(".")[2])
@pytest.mark.parametrize("target", ["trn2", "trn3"])
def test_a_dry_run_prints_commands_and_runs_none(step: object, target: str, tmp_path: Path) -> None:
    done = invoke(step.main, "--dry-run", "--target", target, "--case", CASE, "--results", str(tmp_path / "none"))
    assert done.exit_code == 0, done.output
    assert f"{tmp_path}/none/{target}" in done.output
    assert not (tmp_path / "none").exists()


def test_compiling_names_target_cores_and_place() -> None:
    line, with_lines, count = invoke(compile_cases.main, "--dry-run", "--case", CASE).output.splitlines()
    assert "NEURON_LOGICAL_NC_CONFIG=1" in line
    assert "NEURON_PLATFORM_TARGET_OVERRIDE=trn2" in line
    assert f"NKI_ARTIFACTS_DIR=on-device-results/trn2/{CASE} " in line
    assert "NKI_DEBUG_INFO=True" in with_lines
    assert count == "1 to run"


def test_every_dense_implementation_and_weight_format_has_a_case() -> None:
    names = invoke(compile_cases.main, "--list", "--case", "layer.*").output
    for part in ("shard_on_block", "shard_on_i", "shard_on_i_hybrid", "shard_on_i_dropping", "fp8-row", "int8"):
        assert f".{part}." in names
    assert ".mxfp4." in invoke(compile_cases.main, "--list", "--case", "layer.*", "--target", "trn3").output


def test_a_case_that_does_not_exist_is_refused() -> None:
    done = invoke(time_cases.main, "--case", "probe.nothing")
    assert done.exit_code == 2
    assert "no case of trn2 is called 'probe.nothing'; --list prints them" in done.output


def test_a_step_goes_on_where_it_was(tmp_path: Path) -> None:
    command = command_of(echoing(WORKS), "")
    words = ("--case", CASE, "--results", str(tmp_path))
    assert "1 done" in invoke(command, *words).output
    assert "1 there already" in invoke(command, *words).output
    assert "1 done" in invoke(command, *words, "--again").output
    kept = json.loads((tmp_path / "trn2" / CASE / "echo.json").read_text())
    assert (kept["status"], kept["result"]) == (DONE, {"left": "a b"})
    assert kept["commands"][0]["out"] == "said\n"


def test_what_a_failed_command_said_is_kept_verbatim(tmp_path: Path) -> None:
    done = invoke(command_of(echoing(FAILS), ""), "--case", CASE, "--results", str(tmp_path))
    assert done.exit_code == 1
    kept = json.loads((tmp_path / "trn2" / CASE / "echo.json").read_text())
    assert kept["status"] == FAILED
    assert kept["commands"][0]["err"] == "error: NCC_1234 line 5\n  verbatim\n"
    assert kept["commands"][0]["status"] == 1


def test_a_program_that_is_not_there_is_an_outcome_too(tmp_path: Path) -> None:
    words = ("--case", CASE, "--results", str(tmp_path))
    assert invoke(command_of(echoing(("no-such-program",)), ""), *words).exit_code == 1
    assert "No such file" in json.loads((tmp_path / "trn2" / CASE / "echo.json").read_text())["commands"][0]["err"]


def test_a_step_waits_for_the_one_before(tmp_path: Path) -> None:
    assert "1 without compile" in invoke(time_cases.main, "--case", CASE, "--results", str(tmp_path)).output


def test_inputs_are_kept_under_their_names(tmp_path: Path) -> None:
    call = cases_of("trn2", ["probe.gather*"], None).popitem()[1].call()
    save(call, tmp_path)
    arrays = [array for _, array in call.arrays()]
    assert json.loads((tmp_path / "names.json").read_text()) == [name for name, _ in call.arrays()]
    for n, array in enumerate(arrays):
        np.testing.assert_array_equal(np.load(tmp_path / f"{n}.npy"), array)


def test_an_output_of_bfloat16_comes_back(tmp_path: Path) -> None:
    (tmp_path / "0.json").write_text(json.dumps({"shape": [2, 1], "dtype": "uint16"}))
    np.array([0x3F80, 0xC000], np.uint16).tofile(tmp_path / "0.bin")
    np.testing.assert_array_equal(check_cases.read_output(tmp_path, 0).astype(np.float32), [[1.0], [-2.0]])


def keep_profile(place: Place, case: Case) -> None:
    """The results of a profile in which everything is as nkisim predicts."""
    predicted = predict(case, "trn2")
    busy = {engine: predicted.busy_us.get(engine, 0.0) for engine in (*ENGINES, "dma")}
    counts = {engine: predicted.instructions.get(engine, 0) for engine in ENGINES}
    summary = ProfileSummary(predicted.latency_us, busy, counts, predicted.hbm_read, predicted.hbm_written)
    opcodes, lines = (
        [asdict(each) for each in found] for found in (by_opcode(predicted.table), by_line(predicted.table))
    )
    place.keep("profile", DONE, [], {"summary": asdict(summary), "opcodes": opcodes, "lines": lines, "notes": {}})


def test_predictions_stand_beside_measurements_and_probes_are_collected(tmp_path: Path) -> None:
    folder = tmp_path / "trn2"
    PlayedDevice(load_machine("trn2")).time_probes(folder)
    keep_profile(Place(folder / CASE), cases_of("trn2", [CASE], None)[CASE])
    words = ("--results", str(tmp_path), "--case", CASE, "--device", "a simulated device")
    done = invoke(compare_cases.main, *words)
    assert done.exit_code == 0, done.output
    tables = json.loads((folder / "compared.json").read_text())["cases"][CASE]
    assert set(tables) == {"latency", "engines", "opcodes", "lines"}
    ratios = [row["ratio"] for rows in tables.values() for row in rows if row["ratio"] is not None]
    assert ratios == pytest.approx([1.0] * len(ratios), rel=0.02)
    assert len(ratios) > 10
    measured = read_measured(folder / "measured.json")
    assert (measured.target, measured.device) == ("trn2", "a simulated device")
    assert "dma.complete" in measured.settled
    assert "not in measured.json" in done.output


@pytest.mark.parametrize(
    ("theirs", "ours"), [("MATMUL", "nc_matmul"), ("ACTIVATE", "activation"), ("TENSOR_COPY", "tensor_copy")]
)
def test_opcodes_of_profiles_and_of_nki_meet(theirs: str, ours: str) -> None:
    assert opcode_kind(theirs) == opcode_kind(ours)
