"""A number, and how well it is known."""

from __future__ import annotations

from dataclasses import dataclass

CONFIDENCES = ("documented", "derived", "assumed")


@dataclass(frozen=True)
class Quantity:
    """One number of a machine file."""

    value: float
    unit: str
    source: str
    confidence: str
