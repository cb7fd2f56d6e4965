"""One roof for one machine: the layer's roofline, nkisim's, and what kernels know of the machine while tracing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from nkimoe.cli.main import main
from nkimoe.planning.targets import TARGETS
from nkimoe.reference.roofline import WEIGHT_BYTES, layer_work, roofline
from nkisim.machine import load_machine, loader, machine_peaks


@pytest.mark.parametrize("target", list(TARGETS))
def test_what_kernels_know_of_a_machine_is_what_its_file_says(target: str) -> None:
    known, machine = TARGETS[target], load_machine(target)
    assert (known.name, known.generation) == (machine.name, machine.generation)
    assert known.sbuf_bytes == machine.sbuf_usable_bytes


def test_every_machine_file_has_kernels() -> None:
    files = {path.stem for path in Path(loader.__file__).parent.glob("*.toml")}
    assert files == set(TARGETS)


@pytest.mark.parametrize(("target", "gbps"), [("trn2", 362.0), ("trn3", 528.0)])
@pytest.mark.parametrize("cores", [1, 2])
def test_the_peaks_are_the_documented_ones(target: str, gbps: float, cores: int) -> None:
    peaks = roofline(layer_work(1, 1, 1, 1, 1), target, cores).peaks
    assert peaks.gbps == pytest.approx(gbps * cores)
    assert peaks.tflops == pytest.approx(78.6 * cores, rel=1e-3)


def test_a_layer_of_known_size() -> None:
    work = layer_work(tokens=640, pairs=640 * 8, hidden=2048, intermediate=192, touched_experts=100)
    assert work.flops == 6 * 640 * 8 * 2048 * 192
    assert work.nbytes == 100 * 3 * 2048 * 192 * 2 + 2 * 640 * 2048 * 2
    bound = roofline(work, "trn2", 2)
    assert bound.latency_us == pytest.approx(max(work.flops / 157.3e6, work.nbytes / 724e3), rel=1e-3)
    assert bound.bound_by == "HBM"


def test_int8_moves_half_the_weights_at_the_peak_of_bf16() -> None:
    works = [layer_work(1, 1, 512, 512, 1, weights) for weights in ("bf16", "int8")]
    assert works[0].nbytes - works[1].nbytes == 3 * 512 * 512
    assert roofline(works[1], "trn2", 2, "int8").peaks == machine_peaks(load_machine("trn2"), 2)


@pytest.mark.parametrize("weights", [name for name in WEIGHT_BYTES if name.startswith("mx")])
def test_mx_weights_have_the_peak_of_mx(weights: str) -> None:
    work = layer_work(1 << 20, 1 << 20, 4096, 4096, 1, weights)
    assert roofline(work, "trn3", 2, weights).peaks == machine_peaks(load_machine("trn3"), 2, "mx")
    with pytest.raises(ValueError, match="trn2 has peaks"):
        roofline(work, "trn2", 2, weights)


def test_a_change_of_the_machine_file_reaches_both_commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    layer = ["--tokens", "64", "--tp", "32", "--target", "trn3", "--no-numerics", "--model", "olmoe-1b-7b"]

    def roofline_us() -> float:
        done = CliRunner().invoke(main, ["run", *layer, "--json", str(tmp_path / "out.json")])
        assert done.exit_code == 0, done.output
        return float(json.loads((tmp_path / "out.json").read_text())["predicted"]["roofline_us"])

    before, peaks = roofline_us(), machine_peaks(load_machine("trn3"), 2)
    for key in ("peak.hbm_share", "peak.dma"):
        quantities = load_machine("trn3").quantities
        monkeypatch.setitem(quantities, key, replace(quantities[key], value=quantities[key].value / 2))
    assert roofline_us() == pytest.approx(2 * before)
    assert machine_peaks(load_machine("trn3"), 2).gbps == pytest.approx(peaks.gbps / 2)
