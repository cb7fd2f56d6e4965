"""Fetching a package's source distribution, and running its tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

from foreign.recording import RECORD
from foreign.suites import Row, Suite

ROOT = Path(__file__).resolve().parents[2]
REPORTED_FROM_DEVICES = "NKI103,NKI105,NKI108,NKI201,NKI302"
"""Findings that no document of AWS's backs: they stop no test. Rules raise all the same."""


def fetch(suite: Suite, scratch: Path) -> Path:
    """The unpacked source distribution in `scratch`, fetched by pip unless it is there."""
    name = f"{suite.package}-{suite.version}"
    if not (scratch / name).is_dir():
        scratch.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*command, "--dest", str(scratch), f"{suite.package}=={suite.version}"], check=True)
        with tarfile.open(scratch / f"{name}.tar.gz") as archive:
            archive.extractall(scratch, filter="data")
    return scratch / name


def run(suite: Suite, source: Path, target: str, seconds: int) -> Row:
    """Run the suite's tests from its unpacked source, in a process of its own.

    Args:
        seconds: how long they may take; what has ended by then counts.
    """
    record = source / f"{target}.jsonl"
    record.unlink(missing_ok=True)
    path = os.pathsep.join(str(place) for place in (source, ROOT / "tests", ROOT, ROOT / "simulate"))
    environment = {**os.environ, **suite.environment, "PYTHONPATH": path, RECORD: str(record)}
    environment |= {"NEURON_PLATFORM_TARGET_OVERRIDE": target, "OPENBLAS_NUM_THREADS": "1"}
    environment.setdefault("NKISIM_ALLOW", REPORTED_FROM_DEVICES)
    options = ["-q", "-p", "foreign.recording", "-p", "no:cacheprovider", "-W", "ignore"]
    options += ["-k", " and ".join(f"not {name}" for name in suite.left_out)] if suite.left_out else []
    files = [str(Path("tests") / name) for name in suite.tests]
    try:
        command = [sys.executable, "-m", "pytest", *options, *files]
        subprocess.run(command, cwd=source, env=environment, timeout=seconds, capture_output=True, check=False)
        is_complete = True
    except subprocess.TimeoutExpired:
        is_complete = False
    lines = record.read_text("utf-8").splitlines() if record.exists() else []
    return summary(suite.package, target, lines, is_complete)


def summary(package: str, target: str, lines: list[str], is_complete: bool) -> Row:
    """The row of the recorded tests."""
    tests = [json.loads(line) for line in lines]
    counts = Counter(kind_of(test["outcome"], test["launches"]) for test in tests)
    refusals = Counter(test["refusal"] for test in tests if test["outcome"] == "refused")
    return Row(package, target, dict(counts), dict(refusals.most_common()), is_complete)


def kind_of(outcome: str, launches: int) -> str:
    """The column a test counts in."""
    return "no kernel" if outcome == "pass" and not launches else outcome
