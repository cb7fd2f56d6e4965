"""Applies each mistake of the catalogue to a copy of the kernels and reports what notices it.

Checks that run the changed lines come first, the cheapest of them before all others: a mistake is caught in seconds,
and only one that nothing catches costs the whole battery.

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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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


def run_battery(library: Path, arguments: Sequence[str]) -> Any:
    """What the battery answers about the library below a folder.

    Raises:
        subprocess.CalledProcessError, subprocess.TimeoutExpired: it could not answer.
    """
    folders = [str(library), str(ROOT), str(ROOT / "simulate"), str(ROOT / "tests")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "tests" / "mutants" / "battery.py"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    return json.loads(done.stdout)


class Reach:
    """Which checks of the battery run which lines of the unchanged kernels.

    Args:
        seconds: of each check.
        lines: by file and line, the numbers of the checks.
    """

    def __init__(self, seconds: list[float], lines: dict[str, dict[str, list[int]]]) -> None:
        self._seconds, self._lines = seconds, lines

    def order(self, mutant: Mutant) -> list[str]:
        """The checks to begin with: those that run a changed line, then those that run its file."""
        source = (ROOT / "nkimoe" / mutant.file).read_text("utf-8")
        first = source[: source.index(mutant.old)].count("\n") + 1
        changed = range(first, first + mutant.old.count("\n") + 1)
        of_file = self._lines.get(mutant.file, {})
        of_lines = {number for line in changed for number in of_file.get(str(line), ())}
        others = {number for numbers in of_file.values() for number in numbers} - of_lines
        cheapest = self._seconds.__getitem__
        return [str(number) for number in (*sorted(of_lines, key=cheapest), *sorted(others, key=cheapest))]


def try_mutant(mutant: Mutant, reach: Reach) -> str:
    """What caught the mistake; "" if nothing did."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "nkimoe"
        shutil.copytree(ROOT / "nkimoe", copy, ignore=shutil.ignore_patterns("__pycache__"))
        path = copy / mutant.file
        path.write_text(mutate(path.read_text("utf-8"), mutant), "utf-8")
        try:
            return run_battery(Path(folder), reach.order(mutant)) or ""
        except subprocess.TimeoutExpired:
            return "timeout"
        except subprocess.CalledProcessError as error:
            return error.stderr.strip().splitlines()[-1].split(":")[0]


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
    try:
        reach = Reach(**run_battery(ROOT, ["--reach"]))
    except subprocess.CalledProcessError as error:
        print(f"the unchanged kernels fail the battery: {error.stderr.strip().splitlines()[-1]}")
        return 1
    results: list[tuple[Mutant, str]] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutant, how in zip(chosen, pool.map(partial(try_mutant, reach=reach), chosen), strict=True):
            results.append((mutant, how))
            print(f"{len(results):3}/{len(chosen)}  {how or 'MISSED':20} {mutant.file}: {mutant.mistake}", flush=True)
    summary = report(results)
    print(f"{summary['caught']} of {summary['mutants']} caught, by {summary['by']}")
    if options.json:
        options.json.write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    return 0 if summary["caught"] >= TARGET * len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
