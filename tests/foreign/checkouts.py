"""Runs kernels of checkouts, each in a process of its own: `python -m foreign.checkouts FOLDER NUMBER` does one."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from conformance.reference_functions import ReferenceFile

import nkisim
from foreign.public import FAILED, MISSING, REFUSED, RIGHT, WRONG, Call, PublicKernel, Verdict
from foreign.recording import refusal_of
from foreign.tables import KERNELS

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300


def checkout(folder: Path, repository: str) -> Path | None:
    """Where `owner/name` is, if it is there: `name`, `owner+name` or `owner/name`."""
    owner, name = repository.split("/")
    return next(
        (path for path in (folder / f"{owner}+{name}", folder / owner / name, folder / name) if path.is_dir()), None
    )


def verdict(folder: Path, kernel: PublicKernel) -> Verdict:
    """Run a kernel and hold it to its formula."""
    named = Verdict(kernel.repository, f"{kernel.file}: {kernel.name}", RIGHT, illegal=kernel.illegal)
    root = checkout(folder, kernel.repository)
    if root is None or not (root / kernel.file).is_file():
        return dataclasses.replace(named, status=MISSING)
    try:
        far, allowed = _distance(root, kernel)
    except Exception as error:
        refusal = refusal_of(error)
        said = refusal or f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
        return dataclasses.replace(named, status=REFUSED if refusal else FAILED, why=said)
    return dataclasses.replace(named, status=RIGHT if far <= allowed else WRONG, why=f"{far:.1e} of {allowed:.0e}")


def _distance(root: Path, kernel: PublicKernel) -> tuple[float, float]:
    """Of the worst result, relative L2; and what is allowed."""
    function = _load(root, kernel)
    call = kernel.call(np.random.default_rng(0))
    done = nkisim.Simulator(kernel.target, lnc=kernel.cores).run(function, *call.arguments, **call.options)
    return max(map(_far, _results(call, done.outputs), call.expected)), call.tolerance


def _results(call: Call, outputs: Any) -> list[Any]:
    """What was returned, or the last arguments."""
    if outputs is None:
        return list(call.arguments[-len(call.expected) :])
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def _far(found: Any, expected: Any) -> float:
    if found.size != np.asarray(expected).size:
        raise ValueError(f"a result of shape {found.shape}, expected {np.shape(expected)}")
    a, b = found.astype(np.float64).reshape(-1), np.asarray(expected, np.float64).reshape(-1)
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30))


def _load(root: Path, kernel: PublicKernel) -> Any:
    """The kernel, without the rest of its file, whose imports need not be here."""
    nkisim.install()
    import nki
    import nki.isa as nisa
    import nki.language as nl

    given = {"np": np, "math": math, "nki": nki, "nisa": nisa, "nl": nl, **kernel.given}
    (function,) = ReferenceFile(root, kernel.file, **given).functions(kernel.name)
    return function


def run_all(folder: Path) -> list[Verdict]:
    """All kernels of the tables, one process at a time."""
    verdicts = []
    path = os.pathsep.join(str(place) for place in (ROOT / "tests", ROOT, ROOT / "simulate"))
    environment = {**os.environ, "PYTHONPATH": path, "NKI_COMPILER_FRONTEND": "custom", "OPENBLAS_NUM_THREADS": "1"}
    for number, kernel in enumerate(KERNELS):
        command = [sys.executable, "-W", "ignore", "-m", "foreign.checkouts", str(folder.resolve()), str(number)]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
            )  # fmt: skip
            verdicts.append(Verdict(**json.loads(done.stdout.splitlines()[-1])))
        except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
            named = f"{kernel.file}: {kernel.name}"
            verdicts.append(Verdict(kernel.repository, named, FAILED, type(error).__name__, kernel.illegal))
        print(f"{verdicts[-1].status:10s}{kernel.repository}  {verdicts[-1].kernel}  {verdicts[-1].why}", flush=True)
    return verdicts


def summary(verdicts: list[Verdict]) -> str:
    """A table in Markdown: repositories, kernels, and how many of those that are legal match."""
    lines = [
        "| repository | kernels | match | refused by a documented rule | refused | wrong | fail |",
        "|---|---|---|---|---|---|---|",
    ]
    there = [v for v in verdicts if v.status != MISSING]
    for repository in dict.fromkeys(v.repository for v in there):
        lines.append(_row(repository, [v for v in there if v.repository == repository]))
    lines.append(_row("**all**", there))
    legal = [v for v in there if not (v.illegal and v.status == REFUSED)]
    share = 100 * sum(v.status == RIGHT for v in legal) / max(len(legal), 1)
    return "\n".join(lines) + f"\n\nOf {len(legal)} that the documents allow, {share:.0f} % run and match."


def _row(name: str, verdicts: list[Verdict]) -> str:
    right = sum(v.status == RIGHT for v in verdicts)
    documented = sum(v.status == REFUSED and bool(v.illegal) for v in verdicts)
    refused = sum(v.status == REFUSED and not v.illegal for v in verdicts)
    wrong, failed = (sum(v.status == status for v in verdicts) for status in (WRONG, FAILED))
    return (
        f"| {name} | "
        + " | ".join(str(n or "") for n in (len(verdicts), right, documented, refused, wrong, failed))
        + " |"
    )


if __name__ == "__main__":
    found = verdict(Path(sys.argv[1]), KERNELS[int(sys.argv[2])])
    print("\n" + json.dumps(dataclasses.asdict(found)))
