"""Constants follow from latencies; what latencies do not say stays as it was."""

from __future__ import annotations

from typing import Any

import pytest

from nkisim.fitting import MeasurementError, fit, parse_measured
from nkisim.machine import Machine, load_machine

TRN2 = load_machine("trn2")
TURN, COMPLETE = "sync.loop_turn", "dma.complete"


def document(*probes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"schema_version": 1, "target": "trn2", "device": "a device", "probes": list(probes), **changes}


def probe(
    settles: list[str], *measurements: tuple[float, list[dict[str, Any]]], has_base: bool = True
) -> dict[str, Any]:
    points = [{"point": str(n), "values": [value], "terms": terms} for n, (value, terms) in enumerate(measurements)]
    return {"probe": "p", "settles": settles, "how": "", "has_base": has_base, "measurements": points}


def times(factor: float, *keys: str) -> list[dict[str, Any]]:
    return [{"factor": factor, "powers": dict.fromkeys(keys, 1)}]


def fitted(*probes: dict[str, Any]) -> Any:
    return fit(parse_measured(document(*probes), "here"), TRN2)


def test_a_constant_is_the_slope_and_the_base_is_nobody_s() -> None:
    found = fitted(probe([TURN], (1100.0, times(1, TURN)), (2000.0, times(4, TURN)), (3200.0, times(8, TURN))))
    assert found.machine.number(TURN) == pytest.approx(300, rel=0.01)
    (constant,) = found.constants
    assert constant.is_settled
    assert constant.low < 300 < constant.high
    assert max(map(abs, found.misfit.values())) < 0.01


def test_other_constants_do_not_move() -> None:
    found = fitted(probe([TURN], (1100.0, times(1, TURN)), (2000.0, times(4, TURN)))).machine
    moved = {key for key, quantity in TRN2.quantities.items() if found.quantities[key] != quantity}
    assert moved == {TURN}
    assert "fitted to latencies measured on a device" in found.quantities[TURN].source


def test_what_only_a_base_tells_is_not_settled() -> None:
    found = fitted(probe([TURN], (1100.0, times(2, TURN)), (1100.0, times(2, TURN))))
    assert not found.constants[0].is_settled
    assert found.machine.number(TURN) == TRN2.number(TURN)


def test_two_constants_that_only_their_sum_is_known_of_are_not_settled() -> None:
    both = [*times(1, TURN), *times(1, COMPLETE)]
    found = fitted(probe([TURN, COMPLETE], (900.0, both), (1800.0, both * 2)))
    assert not any(each.is_settled for each in found.constants)


def test_a_profile_has_no_base() -> None:
    found = fitted(probe([TURN], (444.0, times(1, TURN)), has_base=False))
    assert found.machine.number(TURN) == pytest.approx(444, rel=0.01)


def test_without_measurements_nothing_is_fitted() -> None:
    with pytest.raises(MeasurementError, match="run the probes first"):
        fitted()


def test_a_constant_that_the_machine_lacks_is_named() -> None:
    with pytest.raises(MeasurementError, match=r"trn2 has no constants sync\.nothing"):
        fitted(probe(["sync.nothing"], (1.0, times(1, "sync.nothing"))))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"schema_version": 2}, "schema_version is 2; 1 is read here"),
        ({"target": "trn1"}, "target is 'trn1'; there are trn2, trn3"),
        ({"probes": {}}, "probes should be of type list"),
        ({"device": None}, "device should be of type str"),
        ({"probes": [{"settles": []}]}, r"probes\[0\]: the field 'probe' is missing; there are settles"),
        ({"probes": [probe([TURN], (-1.0, []))]}, r"measurements\[0\]: values is a list of positive numbers"),
        ({"probes": [probe([TURN], (1.0, [{"factor": 1.0}]))]}, "the field 'powers' is missing"),
        ({"probes": [probe([TURN], (1.0, [{"factor": 1.0, "powers": {TURN: 0.5}}]))]}, "powers are whole numbers"),
    ],
)
def test_a_document_that_is_not_as_it_should_be_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(MeasurementError, match=problem):
        parse_measured(document(**changes), "here")


def test_fitting_again_from_the_result_stays_there() -> None:
    points = probe([TURN], (1100.0, times(1, TURN)), (2000.0, times(4, TURN)))
    once: Machine = fitted(points).machine
    twice = fit(parse_measured(document(points), "here"), once).machine
    assert twice.number(TURN) == pytest.approx(once.number(TURN), rel=1e-3)
