"""Files of measurements: each field that is missing or wrong is named with its place."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from nkisim.fitting import MeasurementError, parse_measured, read_measured

POINT = {"point": "count 4", "values": [5000.0, 5100.0], "terms": [{"factor": 4, "powers": {"dma.start": 1}}]}
DOCUMENT: dict[str, Any] = {
    "schema_version": 1, "target": "trn2", "device": "trn2.3xlarge",
    "probes": [{"probe": "hops", "settles": ["dma.start"], "how": "", "has_base": True, "measurements": [POINT]}],
}  # fmt: skip


def changed(*path: Any, value: Any = None) -> dict[str, Any]:
    """The document with another value somewhere, or without it."""
    document = copy.deepcopy(DOCUMENT)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def test_a_document_is_read() -> None:
    found = parse_measured(DOCUMENT, "file")
    (point,) = found.measurements
    assert (found.target, found.settled, point.probe, point.value) == ("trn2", ("dma.start",), "hops", 5050.0)
    assert point.terms[0].powers == {"dma.start": 1}
    assert point.deviation > 0


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (changed("schema_version", value=2), "schema_version is 2; 1 is read here"),
        (changed("target"), "file: the field 'target' is missing"),
        (changed("target", value="trn1"), "target is 'trn1'; there are trn2, trn3"),
        (changed("probes", 0, "settles"), r"probes\[0\]: the field 'settles' is missing"),
        (changed("probes", 0, "has_base", value=1), r"probes\[0\]: has_base should be of type bool"),
        (changed("probes", 0, "measurements", 0, "values"), r"measurements\[0\]: the field 'values' is missing"),
        (changed("probes", 0, "measurements", 0, "values", value=[0.0]), "a list of positive numbers"),
        (changed("probes", 0, "measurements", 0, "terms", 0, "factor"), r"terms\[0\]: the field 'factor' is missing"),
        (
            changed("probes", 0, "measurements", 0, "terms", 0, "powers", value={"a.b": 0.5}),
            "whole numbers by constant",
        ),
        ([], "should be an object"),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_named(document: Any, said: str) -> None:
    with pytest.raises(MeasurementError, match=said):
        parse_measured(document, "file")


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    path.write_text("{", "utf-8")
    with pytest.raises(MeasurementError, match=r"measured\.json: no JSON"):
        read_measured(path)
