# SPDX-License-Identifier: Apache-2.0
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
    """One quantity that was measured several times: a latency, or what a profile shows.

    Attributes:
        probe: whose it is.
        point: what tells it from others of the probe, for people.
        values: of each run, in ns, or in the unit of the only constant of its terms.
        terms: how it follows from the constants.
        has_base: whether it is longer by a time that all measurements of its probe share, and that nobody knows: the
            launch, and the loads and stores around what is measured.
    """

    probe: str
    point: str
    values: tuple[float, ...]
    terms: tuple[Term, ...]
    has_base: bool = True

    @property
    def value(self) -> float:
        """The median run."""
        return median(self.values)

    @property
    def deviation(self) -> float:
        """Standard deviation of the median, from the median distance of the runs to it."""
        spread = 1.4826 * median(abs(value - self.value) for value in self.values)
        return 1.2533 * spread / math.sqrt(len(self.values))


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
        has_base = _field(probe, "has_base", bool, where)
        measurements += [
            _measurement(name, has_base, point, f"{where}.measurements[{k}]") for k, point in enumerate(points)
        ]
    return Measured(target, _field(document, "device", str, place), tuple(settled), tuple(measurements))


def _measurement(probe: str, has_base: bool, data: Any, place: str) -> Measurement:
    values = _field(data, "values", list, place)
    if not values or not all(_is_number(each) and each > 0 for each in values):
        raise MeasurementError(f"{place}: values is a list of positive numbers, got {values!r:.80}")
    terms = [_term(term, f"{place}.terms[{n}]") for n, term in enumerate(_field(data, "terms", list, place))]
    return Measurement(probe, _field(data, "point", str, place), tuple(map(float, values)), tuple(terms), has_base)


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
