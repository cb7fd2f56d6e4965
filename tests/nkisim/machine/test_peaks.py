"""The roofline of a machine: published peaks, in one place."""

import pytest

from nkisim.machine import Peaks, UsefulWork, load_machine, machine_peaks


@pytest.mark.parametrize(
    ("target", "cores", "operands", "tflops"),
    [
        ("trn2", 1, "bf16", 78.6), ("trn2", 2, "bf16", 157.3), ("trn2", 1, "fp8", 157.3), ("trn3", 1, "bf16", 78.6),
        ("trn3", 1, "fp8", 157.3), ("trn3", 1, "mx", 314.6), ("trn3", 2, "mx", 629.1),
    ],
)  # fmt: skip
def test_peaks_of_the_pe_are_the_published_ones(target, cores, operands, tflops):
    assert machine_peaks(load_machine(target), cores, operands).tflops == pytest.approx(tflops, rel=1e-3)


@pytest.mark.parametrize(("target", "gbps"), [("trn2", 362), ("trn3", 528)])
def test_hbm_is_as_fast_as_a_cores_share_or_as_its_dma_engines(target, gbps):
    machine = load_machine(target)
    assert machine_peaks(machine, 1).gbps == gbps
    assert machine_peaks(machine, 2).gbps == 2 * gbps


def test_trn2_is_limited_by_its_share_and_trn3_by_its_dma_engines():
    for target, share_is_less in (("trn2", True), ("trn3", False)):
        machine = load_machine(target)
        dma = machine.number("peak.dma") * machine["dma.engines"]
        assert (machine.number("peak.hbm_share") < dma) is share_is_less


@pytest.mark.parametrize("target", ["trn2", "trn3"])
def test_peaks_are_documented_and_rest_on_no_fitted_rate(target):
    machine = load_machine(target)
    peaks = [key for key in machine.quantities if key.startswith("peak.")]
    assert peaks
    assert {machine.quantities[key].confidence for key in peaks} == {"documented"}
    faster = machine.scaled({"dma": 2.0, "hbm": 2.0})
    assert machine_peaks(faster, 2) == machine_peaks(machine, 2)


@pytest.mark.parametrize(("target", "operands"), [("trn2", "mx"), ("trn2", "fp4"), ("trn3", "hbm_share"), ("trn3", "")])
def test_operands_without_a_published_peak_are_refused(target, operands):
    with pytest.raises(ValueError, match=rf"{target} has peaks for bf16, fp8.* not for {operands!r}"):
        machine_peaks(load_machine(target), 1, operands)


def test_a_peak_says_which_operands_it_is_for():
    machine = load_machine("trn3")
    assert [machine_peaks(machine, 1, name).label for name in ("bf16", "fp8", "mx")] == ["bf16", "fp8 double-row", "MX"]


def test_the_least_time_is_the_larger_bound():
    peaks = Peaks(tflops=100, gbps=500)
    assert peaks.least_us(UsefulWork(flops=1e9, nbytes=1)) == pytest.approx(10)
    assert peaks.least_us(UsefulWork(flops=1, nbytes=1e6)) == pytest.approx(2)
    assert peaks.ridge == 200
