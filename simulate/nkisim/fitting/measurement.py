"""What a device was measured to take, as files of measurements have it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from nkisim.fitting.term import Term
from nkisim.machine import TARGETS

SCHEMA_VERSION = 1


class MeasurementError(ValueError):
    """A file of measurements that is not as it should be; the message names the field."""


@dataclass(frozen=True)
class Measurement:
    """One kernel of a probe, run several times.

    Attributes:
        probe: its name. All measurements of a probe share an unknown time: the launch, loads and stores around.
        point: what tells it from others of the probe, for people.
        durations_ns: of each run.
        terms: how the latency, but for the shared part, follows from the constants.
    """

    probe: str
    point: str
    durations_ns: tuple[float, ...]
    terms: tuple[Term, ...]

    @property
    def ns(self) -> float:
        """The median run."""
        return median(self.durations_ns)

    @property
    def deviation_ns(self) -> float:
        """Standard deviation of the median, from the median distance of the runs to it."""
        spread = 1.4826 * median(abs(duration - self.ns) for duration in self.durations_ns)
        return 1.2533 * spread / math.sqrt(len(self.durations_ns))


@dataclass(frozen=True)
class Measured:
    """All measurements of one device.

    Attributes:
        target: which machine it is.
        device: for people: instance, versions, date.
        settled: constants that the probes are for.
    """

    target: str
    device: str
    settled: tuple[str, ...]
    measurements: tuple[Measurement, ...]


def read_measured(path: Path) -> Measured:
    """The measurements of a JSON file.

    Raises:
        MeasurementError: it is not as it should be.
        OSError: it cannot be read.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise MeasurementError(f"{path}: no JSON: {error}") from None
    return parse_measured(document, str(path))


def parse_measured(document: Any, place: str) -> Measured:
    """Likewise of a document that has been read; `place` is where it is from, for messages."""
    version = _field(document, "schema_version", int, place)
    if version != SCHEMA_VERSION:
        raise MeasurementError(f"{place}: schema_version is {version}; {SCHEMA_VERSION} is read here")
    target = _field(document, "target", str, place)
    if target not in TARGETS:
        raise MeasurementError(f"{place}: target is {target!r}; there are {', '.join(TARGETS)}")
    settled: dict[str, None] = {}
    measurements: list[Measurement] = []
    for n, probe in enumerate(_field(document, "probes", list, place)):
        where = f"{place}: probes[{n}]"
        settled |= dict.fromkeys(_field(probe, "settles", list, where))
        name = _field(probe, "probe", str, where)
        points = _field(probe, "measurements", list, where)
        measurements += [_measurement(name, point, f"{where}.measurements[{k}]") for k, point in enumerate(points)]
    return Measured(target, _field(document, "device", str, place), tuple(settled), tuple(measurements))


def _measurement(probe: str, data: Any, place: str) -> Measurement:
    durations = _field(data, "durations_ns", list, place)
    if not durations or not all(_is_number(each) and each > 0 for each in durations):
        raise MeasurementError(f"{place}: durations_ns is a list of positive numbers, got {durations!r:.80}")
    terms = [_term(term, f"{place}.terms[{n}]") for n, term in enumerate(_field(data, "terms", list, place))]
    return Measurement(probe, _field(data, "point", str, place), tuple(map(float, durations)), tuple(terms))


def _term(data: Any, place: str) -> Term:
    powers = _field(data, "powers", dict, place)
    if not all(isinstance(power, int) for power in powers.values()):
        raise MeasurementError(f"{place}: powers are whole numbers by constant, got {powers!r:.80}")
    return Term(_field(data, "factor", float, place), powers)


def _field(data: Any, name: str, kind: type, place: str) -> Any:
    if not isinstance(data, Mapping):
        raise MeasurementError(f"{place}: should be an object, got {data!r:.40}")
    if name not in data:
        raise MeasurementError(f"{place}: the field {name!r} is missing; there are {', '.join(map(str, data))}")
    value = data[name]
    if not (_is_number(value) if kind is float else isinstance(value, kind)):
        raise MeasurementError(f"{place}: {name} should be of type {kind.__name__}, got {value!r:.40}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
