"""Tutorials: of nki-samples, whose older half is written for the first NKI, and of the SDK's documents."""

from conformance.family import Family

SAMPLES = (
    Family("nki-samples", ("cases/tutorials.py",), source="samples"),
    Family("sdk-examples", ("cases/tutorials.py",), source="sdk"),
)
