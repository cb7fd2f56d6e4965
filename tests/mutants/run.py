"""Applies each mistake of the catalogue to a copy of the kernels and reports what notices it.

    python tests/mutants/run.py [--json FILE] [--only WORD] [--jobs N]

Exit status 1 when fewer than 95 % are caught, or a mistake no longer applies to the source.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TARGET = 0.95
TIMEOUT_S = 180

sys.path.insert(0, str(ROOT / "tests"))
from mutants.catalogue import MUTANTS, Mutant  # noqa: E402


def mutate(source: str, mutant: Mutant) -> str:
    """The source with the mistake.

    Raises:
        LookupError: the piece to replace is not there as often as the catalogue says.
    """
    count = source.count(mutant.old)
    if count != 1:
        raise LookupError(f"{mutant.file}: {mutant.old!r} occurs {count} times")
    return source.replace(mutant.old, mutant.new)


def run_battery(library: Path | None) -> str:
    """What the battery says about the library below a folder (None: the real one)."""
    folders = [*([str(library)] if library else []), str(ROOT), str(ROOT / "simulate"), str(ROOT / "tests")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "tests" / "mutants" / "battery.py")]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return "timeout"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1].split(":")[0]
    return json.loads(done.stdout) or ""


def try_mutant(mutant: Mutant) -> str:
    """What caught the mistake; "" if nothing did."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "nkimoe"
        shutil.copytree(ROOT / "nkimoe", copy, ignore=shutil.ignore_patterns("__pycache__"))
        path = copy / mutant.file
        path.write_text(mutate(path.read_text("utf-8"), mutant), "utf-8")
        return run_battery(Path(folder))


def report(results: list[tuple[Mutant, str]]) -> dict[str, Any]:
    """Counts by detector, and the mistakes that nothing caught."""
    caught = Counter(how for _, how in results if how)
    missed = [{"file": m.file, "mistake": m.mistake} for m, how in results if not how]
    return {
        "mutants": len(results),
        "caught": sum(caught.values()),
        "by": dict(caught.most_common()),
        "missed": missed,
        "results": [{"file": m.file, "mistake": m.mistake, "caught_by": how or None} for m, how in results],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="", help="mistakes whose file or words contain this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if options.only in f"{m.file} {m.mistake}"]
    healthy = run_battery(None)
    if healthy:
        print(f"the unchanged kernels fail the battery: {healthy}")
        return 1
    results: list[tuple[Mutant, str]] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutant, how in zip(chosen, pool.map(try_mutant, chosen), strict=True):
            results.append((mutant, how))
            print(f"{len(results):3}/{len(chosen)}  {how or 'MISSED':20} {mutant.file}: {mutant.mistake}", flush=True)
    summary = report(results)
    print(f"{summary['caught']} of {summary['mutants']} caught, by {summary['by']}")
    if options.json:
        options.json.write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    return 0 if summary["caught"] >= TARGET * len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
