"""What neuron-explorer says of a profile as a whole: `view --output-format summary-json`, or the table Summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from on_device.fields import FieldError, number

ENGINES = ("tensor", "vector", "scalar", "gpsimd", "sync")


@dataclass(frozen=True)
class ProfileSummary:
    """Of one run, over its cores.

    Attributes:
        total_us: of the slowest core.
        busy_us: by engine and "dma": time at work, overlapping instructions once, the mean of the cores.
        instructions: by engine, on all cores together.
        hbm_read, hbm_written: bytes, on all cores together.
    """

    total_us: float
    busy_us: dict[str, float]
    instructions: dict[str, int]
    hbm_read: int
    hbm_written: int


def read_summary(document: Any, place: str) -> ProfileSummary:
    """A summary: an object with the fields of the table Summary, or objects like that by name, one a core.

    Raises:
        FieldError: a field is missing.
    """
    if not isinstance(document, Mapping) or not document:
        raise FieldError(f"{place}: should be an object with the fields of Summary, got {document!r:.40}")
    nested = all(isinstance(value, Mapping) for value in document.values())
    return summary_of({name: dict(value) for name, value in document.items()} if nested else {"": document}, place)


def summary_of(cores: Mapping[str, Mapping[str, Any]], place: str) -> ProfileSummary:
    """Of the fields of each core, by name."""

    def each(name: str) -> list[float]:
        return [number(fields, name, f"{place} {core}".strip()) for core, fields in cores.items()]

    busy = {engine: 1e6 * mean(each(f"{engine}_engine_active_time")) for engine in ENGINES}
    return ProfileSummary(
        total_us=1e6 * max(each("total_time")),
        busy_us={**busy, "dma": 1e6 * mean(each("dma_active_time"))},
        instructions={engine: int(sum(each(f"{engine}_engine_instruction_count"))) for engine in ENGINES},
        hbm_read=int(sum(each("hbm_read_bytes"))),
        hbm_written=int(sum(each("hbm_write_bytes"))),
    )
