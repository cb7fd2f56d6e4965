"""What the probes of a folder of results have measured, as `python -m nkisim fit` reads it; and orders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from nkisim.machine import Machine
from on_device.fields import FieldError
from on_device.measured import Document, latency_probe, measured_document, profile_probe
from on_device.place import DONE, Place
from on_device.probe_cases import choice_case, point_case, profile_case
from on_device.probes import CHOICE_PROBES, LATENCY_PROBES, PROFILE_PROBES
from on_device.profile_cases import instructions
from on_device.time_cases import latencies

LESS = 0.9  # of the latency in a given order: below it the compiler has moved instructions


def measured_by_probes(folder: Path, machine: Machine, device: str) -> tuple[Document, list[str]]:
    """The document, and why probes are not in it.

    Args:
        folder: results/TARGET.
        device: instance, versions and date, for people.
    """
    probes: list[Document] = []
    left_out: list[str] = []
    for find in (_latency_probes, _profile_probes):
        for name, found in find(folder, machine):
            if isinstance(found, str):
                left_out.append(f"{name}: {found}")
            else:
                probes.append(found)
    return measured_document(machine, device, probes), left_out


def _latency_probes(folder: Path, machine: Machine) -> Iterator[tuple[str, Document | str]]:
    for name, probe in LATENCY_PROBES.items():
        if machine.name not in probe.targets:
            continue
        places = [Place(folder / point_case(probe, n)) for n in range(len(probe.points))]
        missing = [place.folder.name for place in places if place.status("time") != DONE]
        if missing:
            yield name, f"{', '.join(missing)} not timed"
            continue
        runs = [latencies(place).runs_ns for place in places]
        yield name, latency_probe(probe, machine, zip(probe.points, runs, strict=True))


def _profile_probes(folder: Path, machine: Machine) -> Iterator[tuple[str, Document | str]]:
    for name, probe in PROFILE_PROBES.items():
        place = Place(folder / profile_case(probe))
        if place.status("profile") != DONE:
            yield name, f"{place.folder.name} not profiled"
            continue
        try:
            yield name, profile_probe(probe, probe.read(instructions(place)))
        except (FieldError, ValueError) as error:
            yield name, str(error)


def orders(folder: Path) -> Iterator[str]:
    """What the order probes say, a sentence each."""
    for name, probe in CHOICE_PROBES.items():
        free, held = (Place(folder / choice_case(probe, kind)) for kind in ("free", "held"))
        if free.status("time") == held.status("time") == DONE:
            found, given = (median(latencies(place).runs_ns) / 1e3 for place in (free, held))
            says = probe.says if found < LESS * given else f"not so: {probe.says}"
            yield f"{name}: {found:.1f} us, {given:.1f} {probe.beside}: {says}"


def device_of(folder: Path, target: str) -> str:
    """Instance and versions, as the first profile of the folder has them."""
    for file in sorted(folder.glob("*/profile.json")):
        place = Place(file.parent)
        if place.status("profile") == DONE:
            notes: dict[str, Any] = place.result("profile")["notes"]
            known = [str(notes[key]) for key in ("instance_type", "compiler_version") if key in notes]
            return ", ".join(known) or f"a {target} device"
    return f"a {target} device"
