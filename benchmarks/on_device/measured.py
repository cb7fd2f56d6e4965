"""Results of probes as `python -m nkisim fit` reads them: what was measured, beside how it follows from constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nkisim.fitting import Term
from nkisim.fitting.measurement import SCHEMA_VERSION
from nkisim.machine import Machine
from on_device.probes.probe import Point, Probe, ProfileProbe

Document = dict[str, Any]


def measured_document(machine: Machine, device: str, probes: Iterable[Document]) -> Document:
    """The whole file.

    Args:
        device: instance, versions and date, for people.
        probes: of `latency_probe` and `profile_probe`.
    """
    return {"schema_version": SCHEMA_VERSION, "target": machine.name, "device": device, "probes": list(probes)}


def latency_probe(probe: Probe, machine: Machine, results: Iterable[tuple[Point, Sequence[float]]]) -> Document:
    """One probe; `results`: the latencies of each point's runs, in ns."""
    measurements = [_measurement(point.name, latencies, point.terms) for point, latencies in results]
    return {**_heading(probe.name, probe.settled_on(machine), probe.how, True), "measurements": measurements}


def profile_probe(probe: ProfileProbe, values: Mapping[str, Sequence[float]]) -> Document:
    """One probe whose profile was read; `values`: of each constant."""
    measurements = [_measurement(name, found, (Term(1.0, {name: 1}),)) for name, found in values.items()]
    return {**_heading(probe.name, list(probe.settles), probe.how, False), "measurements": measurements}


def _heading(name: str, settles: list[str], how: str, has_base: bool) -> Document:
    return {"probe": name, "settles": settles, "how": how, "has_base": has_base}


def _measurement(point: str, values: Sequence[float], terms: Sequence[Term]) -> Document:
    return {
        "point": point, "values": list(values),
        "terms": [{"factor": term.factor, "powers": dict(term.powers)} for term in terms],
    }  # fmt: skip
