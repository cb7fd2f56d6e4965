"""Runs kernels of checkouts, each in a process of its own: `python -m foreign.checkouts FOLDER NUMBER` does one."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections import Counter
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
    results = _results(call, done.outputs)[: len(call.expected)]
    return max(map(_far, results, call.expected)), call.tolerance


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


COLUMNS = ("kernels", "match", "break a documented rule", "refused", "wrong", "fail")


def ran(verdict: Verdict) -> bool:
    """Whether its file was there."""
    return verdict.status != MISSING


def summary(verdicts: list[Verdict]) -> str:
    """A table in Markdown: a line a repository, then the share of legal kernels that match."""
    there = [each for each in verdicts if ran(each)]
    lines = [f"| repository | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for repository in dict.fromkeys(each.repository for each in there):
        lines.append(_row(repository, [each for each in there if each.repository == repository]))
    legal = [each for each in there if not each.illegal]
    share = 100 * sum(each.status == RIGHT for each in legal) / max(len(legal), 1)
    lines += [_row("**all**", there), "", f"Of {len(legal)} that the documents allow, {share:.0f} % run and match."]
    return "\n".join(lines)


def _row(name: str, verdicts: list[Verdict]) -> str:
    counts = Counter("illegal" if each.illegal else each.status for each in verdicts)
    numbers = [len(verdicts), *(counts[key] for key in (RIGHT, "illegal", REFUSED, WRONG, FAILED))]
    return f"| {name} | {' | '.join(str(number or '') for number in numbers)} |"


if __name__ == "__main__":
    found = verdict(Path(sys.argv[1]), KERNELS[int(sys.argv[2])])
    print("\n" + json.dumps(dataclasses.asdict(found)))
