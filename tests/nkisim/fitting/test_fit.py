"""Constants from latencies: what the equations hold, what noise does, what stays as it was."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from nkisim.fitting import Measured, Measurement, MeasurementError, Term, fit
from nkisim.fitting.term import total
from nkisim.machine import Machine, load_machine

TRN2 = load_machine("trn2")
RATE = Term(1e6, {"dma.rate": -1})
START = Term(10, {"dma.start": 1})


def measured(*measurements: Measurement, settled: tuple[str, ...]) -> Measured:
    return Measured("trn2", "a test", settled, measurements)


def measurement(
    machine: Machine, *terms: Term, base: float = 500.0, probe: str = "a", noise: tuple[float, ...] = (0.0,)
) -> Measurement:
    value = total(terms, machine) + base
    return Measurement(probe, str(value), tuple(value * (1 + each) for each in noise), terms)


def test_rates_and_durations_are_found_beside_an_unknown_base() -> None:
    device = TRN2.with_value("dma.rate", 30.0).with_value("dma.start", 700.0)
    found = fit(
        measured(
            *(measurement(device, *terms) for terms in ((RATE,), (RATE, START), (RATE, RATE, START, START))),
            settled=("dma.rate", "dma.start"),
        ),
        TRN2,
    )
    assert found.machine.number("dma.rate") == pytest.approx(30.0, rel=1e-3)
    assert found.machine.number("dma.start") == pytest.approx(700.0, rel=1e-3)
    assert found.machine.quantities["dma.rate"].source == "fitted to latencies measured on a test; 24.5 before"
    assert found.machine.number("dma.complete") == TRN2.number("dma.complete")
    assert max(map(abs, found.misfit.values())) < 1e-3


def test_a_sum_of_two_constants_settles_neither() -> None:
    both = (Term(5, {"dma.start": 1}), Term(5, {"dma.complete": 1}))
    points = [measurement(TRN2.with_value("dma.start", 900.0), *both * n) for n in (1, 2, 3)]
    found = fit(measured(*points, settled=("dma.start", "dma.complete")), TRN2)
    assert [each.is_settled for each in found.constants] == [False, False]
    assert found.machine.quantities == TRN2.quantities


def test_a_single_point_of_a_probe_says_nothing_about_its_constant() -> None:
    found = fit(measured(measurement(TRN2, RATE), settled=("dma.rate",)), TRN2)
    assert not found.constants[0].is_settled


def test_a_constant_that_noise_drowns_stays_in_its_range_with_a_wide_spread() -> None:
    rng = np.random.default_rng(5)
    tiny = Term(1, {"dma.to_engine": 1})
    points = [measurement(TRN2, *(tiny,) * n, base=1e5, noise=tuple(0.05 * rng.standard_normal(50))) for n in (0, 1)]
    (found,) = fit(measured(*points, settled=("dma.to_engine",)), TRN2).constants
    low, high = TRN2.quantities["dma.to_engine"].ends
    assert low < found.value < high
    assert found.high / found.low > 2


@pytest.mark.parametrize("off", [1.0, 0.97, 1.2])
def test_bytes_come_out_as_a_power_of_two(off: float) -> None:
    per_byte = Term(2**20 * 9, {"dma.packet": -1})
    points = [measurement(TRN2.with_value("dma.packet", 4096 * off), *(per_byte,) * n) for n in (1, 3)]
    assert fit(measured(*points, settled=("dma.packet",)), TRN2).machine.number("dma.packet") == 4096


def test_what_a_profile_shows_has_no_base() -> None:
    read = Measurement("clock", "window", (3000.0,), (Term(1, {"pe_time.window": 1}),), has_base=False)
    (found,) = fit(measured(read, settled=("pe_time.window",)), TRN2).constants
    assert found.is_settled
    assert found.value == pytest.approx(3000, rel=1e-3)


def test_constants_that_the_machine_does_not_have_and_nothing_at_all_are_refused() -> None:
    strange = Measurement("a", "b", (1.0,), (Term(1, {"dma.speed": 1}),))
    with pytest.raises(MeasurementError, match=r"trn2 has no constants dma\.speed"):
        fit(measured(strange, settled=("dma.speed",)), TRN2)
    with pytest.raises(MeasurementError, match="run the probes first"):
        fit(measured(settled=()), TRN2)


def test_without_scipy_the_extra_that_has_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MeasurementError, match=r"fitting needs SciPy: pip install 'nkimoe\[device\]'"):
        fit(measured(measurement(TRN2, RATE), settled=("dma.rate",)), TRN2)
