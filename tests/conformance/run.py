"""Runs families: one pytest process a family, one forked process a case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.family import Family

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Settings:
    """What the command line chose.

    Attributes:
        checkouts: by source: "nkilib" nki-library, "samples" nki-samples, "sdk" the folder nki of the SDK's documents,
            "aiter" aiter.
        cases: most cases a family.
        parallel: cases at a time.
        seconds: of processor time a case gets; 0 for what its family says.
        memory_gib: most memory a case may take.
        only: regular expression on names of cases.
        full_size: parameters keep their values, whatever the family's `largest` says.
    """

    checkouts: dict[str, Path]
    cases: int
    parallel: int
    seconds: int
    memory_gib: float
    only: str
    full_size: bool = False

    def checkout(self, family: Family) -> Path | None:
        """Where the kernels of the family are."""
        return self.checkouts.get(family.source)


def run_family(family: Family, settings: Settings) -> Iterator[dict[str, Any]]:
    """The lines the session of one family reports: how many cases there are, then one a case."""
    reader, writer = os.pipe()
    environment = os.environ | {
        "CONFORMANCE": json.dumps(_setup(family, settings, writer)),
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
        "NEURON_PLATFORM_TARGET_OVERRIDE": "trn2",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "NKI_COMPILER_FRONTEND": "custom",  # for `while register:`, which kernels of NKI 0.3 use
        **family.environment,
    }
    process = subprocess.Popen(
        _command(family, settings),
        env=environment,
        pass_fds=[writer],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.close(writer)
    lines = 0
    with os.fdopen(reader) as results:
        for line in results:
            lines += 1
            yield _judged(json.loads(line), family)
    said, _ = process.communicate()
    if lines == 0:
        last = (said.strip().splitlines() or ["no output"])[-12:]
        yield {"name": family.name, "status": "error", "code": "Session", "message": "\n".join(last)}


def _setup(family: Family, settings: Settings, writer: int) -> dict[str, Any]:
    return {
        "source": family.source,
        "checkout": str(settings.checkout(family)),
        "full_size": settings.full_size,
        "largest": {} if settings.full_size else dict(family.largest),
        "leave_out": family.leave_out,
        "unskip": family.unskip,
        "target": family.target,
        "adapt": family.adapt,
        "only": settings.only,
        "cases": settings.cases,
        "parallel": settings.parallel,
        "seconds": settings.seconds or family.seconds,
        "memory_gib": settings.memory_gib,
        "pipe": writer,
    }


def _command(family: Family, settings: Settings) -> list[str]:
    root = settings.checkout(family) if family.source == "nkilib" else HERE
    assert root is not None
    names = ["conformance.session", "no:cacheprovider", "no:timeout", "no:xdist"]
    if family.source != "nkilib":
        names.append("conformance.cases.checkout")
    plugins = [part for name in names for part in ("-p", name)]
    options = ["--noconftest", "-c", os.devnull, f"--rootdir={root}", "--continue-on-collection-errors", "-q", "-s"]
    modules = [str(root / module) for module in family.modules]
    return [sys.executable, "-m", "pytest", *plugins, *options, *modules]


def _judged(line: dict[str, Any], family: Family) -> dict[str, Any]:
    """A case that does not pass, and is in another language or known to be the peer's own mistake, says so."""
    if line.get("status") in (None, "pass"):
        return line
    if "language" in line and line["status"] in ("refused", "error"):
        return line | {"was": line["status"], "status": "older nki"}
    bug = next((bug for bug in family.bugs if bug.matches(line["name"], str(line.get("message")))), None)
    return line if bug is None else line | {"was": line["status"], "status": "peer bug", "evidence": bug.evidence}
