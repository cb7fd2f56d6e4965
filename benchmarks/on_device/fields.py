"""Fields of what tools wrote, by name: a missing or renamed one is an error that names it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nkisim.report.files import write_whole


class FieldError(ValueError):
    """Something that a tool wrote is not as its documentation says."""


def read_json(path: Path) -> Any:
    """The document of a file.

    Raises:
        FieldError: there is none.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise FieldError(f"{path}: there is no such file: has the step before been run?") from None
    except ValueError as error:
        raise FieldError(f"{path}: no JSON: {error}") from None


def write_json(path: Path, document: Any) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(document, indent=2) + "\n")


def number(document: Any, name: str, place: str) -> float:
    """A number of an object.

    Raises:
        FieldError: it has no such field, or it is no number.
    """
    value = field(document, name, place)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FieldError(f"{place}: {name} should be a number, got {value!r:.40}")
    return float(value)


def numbers(document: Any, name: str, place: str) -> list[float]:
    """A list of numbers, not empty."""
    values = field(document, name, place)
    if not isinstance(values, list) or not values:
        raise FieldError(f"{place}: {name} should be a list of numbers, got {values!r:.40}")
    return [number({name: each}, name, place) for each in values]


def field(document: Any, name: str, place: str) -> Any:
    """A field of an object."""
    if not isinstance(document, Mapping):
        raise FieldError(f"{place}: should be an object, got {document!r:.40}")
    if name not in document:
        near = sorted(map(str, document))
        raise FieldError(f"{place}: the field {name!r} is missing; there are {', '.join(near)[:400] or 'none'}")
    return document[name]
