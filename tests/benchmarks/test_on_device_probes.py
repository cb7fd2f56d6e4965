"""Probes give the constants of a device back: nkisim with a machine that the fit does not know plays the device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from on_device.probe_cases import probe_cases
from on_device.probes import CHOICE_PROBES, LATENCY_PROBES, NOT_MEASURED, PROFILE_PROBES
from on_device.probes.pe_clock import read_clock
from support.played_device import PlayedDevice, program_of, traced

from nkimoe.cli.experiment import Progress, Setup, arguments_of, layer_of
from nkimoe.cli.layer_data import read_text
from nkimoe.moe_cte import moe_cte
from nkisim import Simulator
from nkisim.fitting import Fitted, fit, parse_measured
from nkisim.fitting.term import total
from nkisim.machine import Machine, load_machine
from nkisim.machine.probes import PROBES
from nkisim.timing import timeline
from nkisim.timing.program import Program

TARGETS = ("trn2", "trn3")
WHOLE = {"dma.packet": 32768, "dma.indexed_bytes": 1024}  # powers of two, so that pieces come out whole
NARROW = ("pe_time.window", "pe_time.window_use")
Shown = pytest.CaptureFixture[str]
MORE = [pytest.param(target, seed, marks=pytest.mark.slow) for target in TARGETS for seed in (10, 11, 12)]
MORE_NOISE = [pytest.param(seed, 0.05, marks=pytest.mark.slow) for seed in (10, 12, 13, 15, 16)]


def settled(target: str) -> list[str]:
    """Constants that probes of the target are for."""
    machine = load_machine(target)
    latency = [key for p in LATENCY_PROBES.values() if target in p.targets for key in p.settled_on(machine)]
    return list(dict.fromkeys([*latency, *(key for p in PROFILE_PROBES.values() for key in p.settles)]))


def hidden_machine(target: str, seed: int) -> Machine:
    """A device: every constant that probes are for is up to a quarter off."""
    rng, machine = np.random.default_rng(seed), load_machine(target)
    for key in settled(target):
        least, most = (0.9, 1.1) if key in NARROW else (0.8, 1.25)
        off = float(rng.uniform(least, most))
        machine = machine.with_value(key, WHOLE.get(key, machine.number(key) * off))
    return machine


def fitted(device: PlayedDevice, folder: Path) -> Fitted:
    return fit(parse_measured(device.measured(folder), "played"), load_machine(device.machine.name))


@pytest.fixture(scope="module")
def demo_layer() -> Program:
    """What `nkimoe demo` runs."""
    setup = Setup("qwen3-30b-a3b", 4, 640, "shard_on_block", "trn2", 2, 128, "bf16", read_text(None), numerics=False)
    data = layer_of(setup, Progress(lambda name, count: None, lambda: None))
    return program_of("trn2", 2, moe_cte, (), arguments_of(setup, data))


@pytest.mark.parametrize("target", TARGETS)
def test_every_constant_that_documents_leave_open_has_a_probe_or_a_reason(target: str) -> None:
    quantities = load_machine(target).quantities.items()
    left_open = {key for key, q in quantities if q.is_open or q.confidence != "documented"}
    assert left_open - set(settled(target)) - set(NOT_MEASURED) == set()
    assert set(settled(target)) & set(NOT_MEASURED) - {"dve_cycles.exponential"} == set()
    assert set(PROBES) - set(settled(target)) - set(NOT_MEASURED) == set()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", LATENCY_PROBES)
def test_latencies_of_a_probe_differ_by_its_terms(name: str, target: str) -> None:
    probe, machine = LATENCY_PROBES[name], load_machine(target)
    if target not in probe.targets:
        pytest.skip(f"{target} has no such instruction")
    bases = [
        timeline(traced(target, name, n), machine).latency_ns - total(point.terms, machine)
        for n, point in enumerate(probe.points)
    ]
    assert bases == pytest.approx([bases[0]] * len(bases), abs=0.5)
    assert bases[0] > 0


@pytest.mark.parametrize(("target", "seed"), [("trn2", 1), ("trn2", 7), ("trn3", 4), *MORE])
def test_the_fit_gives_every_probed_constant_of_a_hidden_machine_back(
    target: str, seed: int, tmp_path: Path, capsys: Shown
) -> None:
    hidden = hidden_machine(target, seed)
    found = fitted(PlayedDevice(hidden), tmp_path)
    with capsys.disabled():
        print(f"\nhidden machine of {target}: seed {seed}")
    assert {each.name for each in found.constants} == set(settled(target))
    assert all(each.is_settled for each in found.constants)
    wrong = {
        each.name: (each.value, hidden.number(each.name))
        for each in found.constants
        if each.value != pytest.approx(hidden.number(each.name), rel=0.05)
    }
    assert wrong == {}


@pytest.mark.parametrize(("seed", "noise"), [(2, 0.0), (8, 0.0), (2, 0.05), (8, 0.05), (7, 0.05), *MORE_NOISE])
def test_the_demo_layer_is_predicted_on_the_fitted_machine_as_on_the_hidden_one(
    seed: int, noise: float, demo_layer: Program, tmp_path: Path, capsys: Shown
) -> None:
    hidden = hidden_machine("trn2", seed)
    found = fitted(PlayedDevice(hidden, noise, seed), tmp_path).machine
    shipped, truth, predicted = (
        timeline(demo_layer, machine).latency_ns for machine in (load_machine("trn2"), hidden, found)
    )
    with capsys.disabled():
        print(f"\nseed {seed}, noise {noise}: {truth / 1e3:.1f} us, fitted {predicted / 1e3:.1f}")
    assert abs(shipped / truth - 1) > 0.05, "otherwise the fit has nothing to do"
    assert predicted == pytest.approx(truth, rel=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_noise_constants_lie_within_their_spread(seed: int, tmp_path: Path, capsys: Shown) -> None:
    hidden = hidden_machine("trn2", seed)
    found = fitted(PlayedDevice(hidden, 0.05, seed), tmp_path)
    with capsys.disabled():
        print(f"\nnoise 5 %: seed {seed}")
    distances = [
        2 * abs(np.log(hidden.number(each.name) / each.value)) / np.log(each.high / each.value)
        for each in found.constants
    ]
    assert max(distances) < 4.5, "standard deviations"
    assert np.mean(np.array(distances) < 2) > 0.85


def test_bursts_that_never_change_their_clock_say_nothing() -> None:
    (probe,) = PROFILE_PROBES.values()
    instructions = PlayedDevice(load_machine("trn2").with_value("pe_time.slowdown", 1)).instructions(probe)
    with pytest.raises(ValueError, match="fewer than three bursts"):
        read_clock(instructions)
    with pytest.raises(ValueError, match="no matmuls"):
        read_clock([])


@pytest.mark.parametrize("name", ["order of instructions", "order of transfers"])
def test_an_order_probe_takes_less_where_the_compiler_may_reorder(name: str) -> None:
    probe, machine = CHOICE_PROBES[name], load_machine("trn2")
    free, held = (
        timeline(program_of("trn2", 1, probe.kernel, probe.inputs(sizes), dict(sizes)), machine).latency_ns
        for sizes in (probe.free, probe.held)
    )
    assert free < 0.9 * held


def test_transposes_with_a_shared_identity_give_the_bits_of_nc_transpose_in_the_same_time() -> None:
    probe = CHOICE_PROBES["identities of transposes"]
    inputs = probe.inputs(probe.free)
    shared, own = (Simulator("trn2", 1).run(probe.kernel, *inputs, **sizes) for sizes in (probe.free, probe.held))
    np.testing.assert_array_equal(shared.outputs, own.outputs)
    assert shared.profile.latency_us == pytest.approx(own.profile.latency_us, rel=0.05)


@pytest.mark.parametrize("target", TARGETS)
def test_cases_of_probes_have_names_of_their_own(target: str) -> None:
    names = [case.name for case in probe_cases(target)]
    assert len(names) == len(set(names)) > 90
    assert not any(character in name for name in names for character in " /")
