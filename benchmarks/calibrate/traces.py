"""Traces: each case simulated once and kept in a folder outside the repository, so that clocks can be compared fast."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nkisim
from calibrate.cases import Case, Work
from calibrate.launches import NONE
from calibrate.tape import Tape
from nkisim.report.files import replacing

SUFFIX = ".trace"
_AFTER_TRACING = ("timing", "machine", "report", "lint")  # packages of nkisim no event depends on


@dataclass(frozen=True)
class Trace:
    """What is kept of one case.

    Attributes:
        version: of the simulator and the kernel it was traced with.
        launch: class of its launch.
        program: what ran, or None.
        reason: why nothing did, or empty.
        seconds: how long tracing took.
    """

    case: Case
    version: str
    launch: str = NONE
    program: Tape | None = None
    reason: str = ""
    seconds: float = 0.0


def default_folder() -> Path:
    """In the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nkisim" / "traces"


def path_of(folder: Path, case: Case) -> Path:
    """Where the trace of `case` is, whatever its version."""
    identity = repr((case.kernel, case.family, case.name, case.source, case.figures))
    words = re.sub(r"[^a-zA-Z0-9]+", "-", f"{case.family} {case.name}")[:80]
    return folder / f"{words}-{_digest(identity)}{SUFFIX}"


def version_of(work: Work) -> str:
    """Of what decides the events of a trace: the simulator, less its clock, and what the kernel is written in."""
    return _digest(_simulator() + _sources(work.written_in))


def save(folder: Path, trace: Trace) -> None:
    """Write it, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, trace.case)
    with replacing(path) as temporary:
        temporary.write_bytes(zlib.compress(pickle.dumps((trace.version, trace)), 1))


def load(path: Path) -> Trace:
    """The trace in a file.

    Raises:
        Exception: of any kind, where classes of the simulator have changed since.
    """
    _, trace = pickle.loads(zlib.decompress(path.read_bytes()))
    assert isinstance(trace, Trace)
    return trace


def is_fresh(folder: Path, work: Work) -> bool:
    """Whether there is a trace of this version, be it of a failure."""
    path = path_of(folder, work.case)
    try:
        return load(path).version == version_of(work)
    except Exception:
        return False


def record(folder: Path, work: Work) -> dict[str, Any]:
    """Simulate, and keep the trace; a case for `conformance.isolation`."""
    tape = Tape()
    launch = work.run(tape)
    save(folder, Trace(work.case, version_of(work), launch, tape))
    return {"status": "pass", "events": len(tape)}


def files(folder: Path) -> Iterator[Path]:
    """All traces of a folder, by name."""
    yield from sorted(folder.glob(f"*{SUFFIX}"))


def remove_others(folder: Path, cases: Iterable[Case]) -> list[Path]:
    """Remove traces of what is none of `cases`, such as a case that has another family or figure by now; which those
    were.
    """
    wanted = {path_of(folder, case) for case in cases}
    others = [path for path in files(folder) if path not in wanted]
    for path in others:
        path.unlink()
    return others


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def _simulator() -> str:
    root = Path(nkisim.__file__).parent
    parts = [path for path in root.iterdir() if path.is_dir() and path.name not in _AFTER_TRACING]
    return "".join(_sources(part) for part in sorted(parts))


@cache
def _sources(place: Path) -> str:
    paths = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return _digest("".join(path.read_text("utf-8") for path in paths))
