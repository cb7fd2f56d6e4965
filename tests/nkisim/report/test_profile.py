"""What a profile predicts, and how its numbers hang together."""

import json

import numpy as np
import pytest

import nkisim
from nkisim.errors import ArgumentError
from nkisim.observe import Counters
from nkisim.timing import CLOCK

KEYS = {
    "latency_us", "bound_by", "critical_path_us", "engines", "cores", "dma", "provenance", "lines",
    "functions", "hbm_bytes", "macs", "opcodes", "sbuf_peak_bytes_per_partition", "psum_peak_banks", "clock",
    "interval_us", "by_order", "by_look_ahead",
}  # fmt: skip


def test_shares_and_parts_add_up(two_cores):
    assert sum(two_cores.provenance.values()) == pytest.approx(1)
    assert set(two_cores.provenance) == {"documented", "derived", "assumed"}
    assert sum(two_cores.prediction.critical_path_us.values()) == pytest.approx(two_cores.latency_us)
    assert next(iter(two_cores.prediction.critical_path_us)) == two_cores.bound_by


def test_engines_are_the_mean_of_the_cores_and_instructions_their_sum(two_cores):
    cores = two_cores.prediction.by_core
    assert len(cores) == 2
    for name, use in two_cores.engines.items():
        assert use.busy_us == pytest.approx((cores[0][name].busy_us + cores[1][name].busy_us) / 2)
        assert use.utilization == pytest.approx(use.busy_us / two_cores.latency_us)
        assert 0 <= use.utilization <= 1
    assert {name: use.instructions for name, use in two_cores.engines.items()} == two_cores.instructions


def test_lines_are_those_of_the_kernel(one_core):
    assert {line.location.file.rpartition("/")[2] for line in one_core.lines} == {"timed_kernels.py"}
    assert sum(line.critical_ns for line in one_core.lines) == pytest.approx(1e3 * one_core.latency_us)


def test_the_keys_for_scripts_are_stable_and_survive_json(two_cores):
    document = two_cores.to_json()
    assert set(document) == KEYS
    assert json.loads(json.dumps(document)) == document
    assert set(document["engines"]["tensor"]) == {"busy_us", "utilization", "instructions"}
    assert document["hbm_bytes"] == {"read": two_cores.hbm_read, "written": two_cores.hbm_written}
    assert document["latency_us"] == two_cores.latency_us


def test_bounds_for_scripts_are_those_of_the_forecast(two_cores):
    bounds, found = two_cores.bounds_json(), two_cores.forecast
    assert bounds["clock"] == CLOCK
    assert bounds["interval_us"] == [*two_cores.interval_us] == [ns / 1e3 for ns in found.interval]
    assert bounds["by_order"] == {"program": found.by_order["program"] / 1e3, "compiler": two_cores.latency_us}
    assert [*bounds["by_look_ahead"]] == ["16", "32", "64"]
    assert bounds["by_look_ahead"]["32"] == two_cores.latency_us
    low, high = two_cores.interval_us
    assert low < two_cores.latency_us < high


def test_a_second_look_gives_the_same_prediction(two_cores):
    assert two_cores.what_if({}).latency_us == two_cores.latency_us
    assert two_cores.what_if({"pool_clock": 0.5}).latency_us > two_cores.latency_us
    assert two_cores.what_if({}).to_json() == two_cores.prediction.to_json()


def test_without_the_time_model_there_are_counts_and_no_prediction():
    profile = nkisim.Simulator("trn2", timing=False).run(lambda x: x, np.ones((2, 2), np.float32)).profile
    assert isinstance(profile.counters, Counters)
    for name in ("latency_us", "forecast", "interval_us", "sensitivity"):
        with pytest.raises(ArgumentError, match="timing=False"):
            getattr(profile, name)


def test_a_kernel_that_does_nothing_takes_no_time(tmp_path):
    profile = nkisim.Simulator("trn2").run(lambda x: x, np.ones((2, 2), np.float32)).profile
    assert (profile.latency_us, profile.bound_by, profile.lines) == (0.0, "nothing", [])
    assert (profile.interval_us, profile.sensitivity) == ((0.0, 0.0), [])
    assert profile.engines == {}
    assert profile.to_json()["provenance"] == {"documented": 0.0, "derived": 0.0, "assumed": 0.0}
    for save in (profile.save_roofline, profile.save_timeline):
        save(tmp_path / "empty.png")
    profile.save_perfetto(tmp_path / "empty.json")
    assert json.loads((tmp_path / "empty.json").read_text())["traceEvents"]
