"""`python -m nkisim fit`, and `--machine` with what it writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nkimoe.cli.main import main as nkimoe_main
from nkisim.__main__ import main
from nkisim.machine import load_machine, read_machine

KERNEL = """
import nki
import nki.isa as nisa
import nki.language as nl


@nki.jit
def twice(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x, dge_mode=nisa.dge_mode.none)
    nisa.dma_copy(dst=out, src=tile, dge_mode=nisa.dge_mode.none)
    return out
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.fixture
def machine_file(tmp_path: Path) -> Path:
    """Fitted to a device whose transfers take 5 us to complete."""
    points = [
        {
            "point": f"count {n}",
            "values": [3000.0 + n * 5000.0],
            "terms": [{"factor": n, "powers": {"dma.complete": 1}}],
        }
        for n in (1, 2, 4)
    ]
    probe = {"probe": "hops", "settles": ["dma.complete"], "how": "", "has_base": True, "measurements": points}
    document = {"schema_version": 1, "target": "trn2", "device": "trn2.3xlarge", "probes": [probe]}
    measured, machine = tmp_path / "measured.json", tmp_path / "my-trn2.toml"
    measured.write_text(json.dumps(document), "utf-8")
    done = run("fit", str(measured), "-o", str(machine))
    assert done.exit_code == 0, done.output
    assert re.search(r"340 +5000 +\S+ to \S+ +dma\.complete", done.output)
    return machine


def test_fit_writes_a_machine_file_with_the_constant_and_its_source(machine_file: Path) -> None:
    found = read_machine(machine_file)
    assert found.number("dma.complete") == pytest.approx(5000, rel=1e-3)
    assert "trn2.3xlarge" in found.quantities["dma.complete"].source
    assert found.number("dma.rate") == load_machine("trn2").number("dma.rate")


def test_fit_refuses_what_is_no_file_of_measurements(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    path.write_text("{}", "utf-8")
    done = run("fit", str(path), "-o", str(tmp_path / "my.toml"))
    assert done.exit_code == 2
    assert "the field 'schema_version' is missing" in done.output
    assert not (tmp_path / "my.toml").exists()


def test_a_run_is_predicted_with_the_machine_file_and_only_that_run(machine_file: Path, tmp_path: Path) -> None:
    kernel = tmp_path / "kernels.py"
    kernel.write_text(KERNEL, "utf-8")

    def latency(*words: str) -> float:
        path = tmp_path / "out.json"
        done = run("run", f"{kernel}:twice", "--input", "x=128x512", "--json", str(path), *words)
        assert done.exit_code == 0, done.output
        predicted: float = json.loads(path.read_text("utf-8"))["predicted"]["latency_us"]
        return predicted

    shipped = latency("--target", "trn2")
    assert latency("--machine", str(machine_file)) == pytest.approx(shipped + 2 * 4.66, rel=0.01)
    assert latency("--target", "trn2") == shipped


@pytest.mark.parametrize("command", ["run", "trace", "roofline"])
def test_a_target_that_the_machine_file_does_not_describe_is_refused(command: str, machine_file: Path) -> None:
    done = run(command, "m:k", "--target", "trn3", "--machine", str(machine_file))
    assert done.exit_code == 2
    assert "the machine file in use describes trn2" in done.output
    done = run(command, "m:k", "--machine", __file__)
    assert done.exit_code == 2
    assert "no machine file" in done.output


@pytest.mark.parametrize(
    "words", [("run",), ("explain",), ("tune", "t.csv"), ("op", "topk_softmax"), ("op", "moe_smoothquant")]
)
def test_commands_of_nkimoe_refuse_another_target_than_that_of_the_machine_file(
    words: tuple[str, ...], machine_file: Path
) -> None:
    done = CliRunner().invoke(nkimoe_main, [*words, "--target", "trn3", "--machine", str(machine_file)])
    assert done.exit_code == 2
    assert "the machine file in use describes trn2" in done.output


def test_an_operation_is_predicted_with_the_machine_file(machine_file: Path, tmp_path: Path) -> None:
    def latency(*words: str) -> float:
        path = tmp_path / "op.json"
        done = CliRunner().invoke(nkimoe_main, ["op", "topk_softmax", "--json", str(path), "--no-numerics", *words])
        assert done.exit_code == 0, done.output
        found: float = json.loads(path.read_text("utf-8"))["predicted"]["latency_us"]
        return found

    assert latency("--machine", str(machine_file)) > latency()


def test_the_demo_takes_a_machine_file() -> None:
    assert "--machine FILE" in CliRunner().invoke(nkimoe_main, ["demo", "--help"]).output
