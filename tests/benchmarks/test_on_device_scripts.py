"""The five scripts: what they would run, and what becomes of what was run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from on_device.case import Case, KernelCall
from on_device.cases import cases_of
from on_device.commands import Command
from on_device.compile_one import save
from on_device.explorer_summary import ProfileSummary
from on_device.instruction_table import InstructionSum
from on_device.place import DONE, FAILED, Place
from on_device.predicted import predict
from on_device.probe_results import measured_by_probes, orders
from on_device.side_by_side import Row, by_engine, by_kind, opcode_kind

from nkisim.machine import load_machine

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "on_device"
STEPS = ("compile", "check", "time", "profile", "compare")


def script(step: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / f"{step}_cases.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("step", STEPS)
def test_a_dry_run_prints_commands_and_runs_none(step: str, tmp_path: Path) -> None:
    results = str(tmp_path / "results")
    done = script(step, "--dry-run", "--results", results, "--case", "probe.dma-loads.*", "--case", "choice.*")
    assert done.returncode == 0, done.stderr
    assert "probe.dma-loads.0" in done.stdout or step == "compare"
    assert {"compile": "NKI_ARTIFACTS_DIR=", "check": "run_on_device.py run", "time": "--runs 100",
            "profile": "summary-json", "compare": "nkisim fit"}[step] in done.stdout  # fmt: skip
    assert not (tmp_path / "results").exists()


def test_what_a_tool_says_is_kept_verbatim_and_a_step_is_not_repeated(tmp_path: Path) -> None:
    words = ("--results", str(tmp_path), "--case", "probe.dma-to-engine.0", "--python", "no-such-python")
    assert script("compile", *words).returncode == 1
    kept = json.loads((tmp_path / "trn2" / "probe.dma-to-engine.0" / "compile.json").read_text("utf-8"))
    assert kept["status"] == FAILED
    assert "no-such-python" in kept["commands"][0]["err"]
    assert kept["commands"][0]["status"] == 127
    assert "1 there already" in script("compile", *words).stdout
    assert "1 without compile" in script("time", *words).stdout


def test_a_case_that_is_none_is_refused() -> None:
    done = script("time", "--case", "no.such.case")
    assert done.returncode == 2
    assert "no case of trn2 is called 'no.such.case'" in done.stderr


def test_a_command_is_printed_as_a_shell_takes_it() -> None:
    command = Command(("tool", "a b"), {"NAME": "x y"}, Path("out.json"))
    assert str(command) == "env NAME='x y' tool 'a b' > out.json"


@pytest.mark.parametrize("target", ["trn2", "trn3"])
def test_cases_have_every_model_and_weight_format_of_the_target(target: str) -> None:
    names = [name for name in cases_of(target, ["layer.*"], None)]
    parts = [set(each) for each in zip(*(name.removeprefix("layer.").split(".") for name in names), strict=True)]
    assert len(parts[0]) == 8
    assert {"bf16", "fp8-row", "int8", *(["mxfp4", "mxfp8"] if target == "trn3" else [])} <= parts[2]
    assert parts[3] == {"pairs", "tokens"}


def test_inputs_are_kept_with_their_names_and_their_bits(tmp_path: Path) -> None:
    case = cases_of("trn2", ["probe.tensor-matmul.0"], None)["probe.tensor-matmul.0"]
    call = case.call()
    save(call, tmp_path)
    assert json.loads((tmp_path / "names.json").read_text("utf-8")) == ["argument_0"]
    kept = np.load(tmp_path / "0.npy")
    assert kept.dtype == np.uint16  # NumPy has no bfloat16
    assert np.array_equal(kept, call.positional[0].view(np.uint16))


def test_predictions_stand_beside_measurements() -> None:
    case = cases_of("trn2", ["probe.vector-chain.0"], None)["probe.vector-chain.0"]
    prediction = predict(case, "trn2")
    summary = ProfileSummary(100.0, {"vector": 2 * prediction.busy_us["vector"], "dma": 1.0}, {"vector": 32}, 0, 0)
    rows = {row.what: row for row in by_engine(prediction, summary)}
    assert rows["vector: busy, us"].ratio == pytest.approx(2)
    assert rows["vector: instructions"].ratio == pytest.approx(1)
    mine, theirs = [InstructionSum("vector", "tensor_copy", 2, 1.0)], [InstructionSum("vector", "TENSOR_COPY", 4, 3.0)]
    assert [(row.what, row.ratio) for row in by_kind(mine, theirs)] == [("vector copy, ns each", 1.5)]
    assert str(Row("x", None, 2.0)).split() == ["-", "2", "-", "x"]
    assert opcode_kind("nc_matmul") == opcode_kind("MATMUL") == "matmul"


def test_probes_that_were_not_run_are_left_out_by_name(tmp_path: Path) -> None:
    document, left_out = measured_by_probes(tmp_path, load_machine("trn2"), "nothing")
    assert document["probes"] == []
    assert any(reason.startswith("tensor clock: profile.tensor-clock not profiled") for reason in left_out)
    assert list(orders(tmp_path)) == []


def test_an_order_that_took_less_says_so(tmp_path: Path) -> None:
    for kind, ms in (("free", 0.010), ("held", 0.020)):
        place = Place(tmp_path / f"choice.order-of-transfers.{kind}")
        place.folder.mkdir()
        (place.folder / "benchmark.json").write_text(json.dumps({"durations_ms": [ms], "iterations": 1}), "utf-8")
        place.keep("time", DONE, [], {})
    (said,) = orders(tmp_path)
    assert said == (
        "order of transfers: 10.0 us, 20.0 in the order of the source: "
        "the compiler started loads ahead of the instructions written before them"
    )


def test_the_environment_of_a_case_says_its_cores() -> None:
    def call() -> KernelCall:
        return KernelCall(None, (), {})

    assert Case("a", 2, call, call).environment == {"NEURON_LOGICAL_NC_CONFIG": "2"}
