"""`python -m foreign [PACKAGE ...]`: other people's tests, or kernels of checkouts, on nkisim, as tables."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from foreign import checkouts
from foreign.public import bad
from foreign.run import fetch, run
from foreign.suites import SUITES, Row

COLUMNS = ("pass", "refused", "fail", "xfail", "skipped", "no kernel")


def table(rows: list[Row]) -> str:
    """One line a package and target, then what was refused."""
    text = [f"{'package':12s}{'target':8s}" + "".join(f"{column:>11s}" for column in COLUMNS)]
    for row in rows:
        counts = "".join(f"{row.counts.get(column, 0):11d}" for column in COLUMNS)
        text.append(f"{row.package:12s}{row.target:8s}{counts}" + ("" if row.is_complete else "  (out of time)"))
    for row in rows:
        text += [f"{row.package} {row.target}: {number} x {said}" for said, number in row.refusals.items()]
    return "\n".join(text)


def main() -> int:
    """Run, print, save. Fails if a test or a kernel fails that nkisim did not refuse, or nothing ran."""
    parser = argparse.ArgumentParser(prog="python -m foreign", description=__doc__)
    names = [suite.package for suite in SUITES]
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="all, unless named: " + ", ".join(names))
    parser.add_argument("--checkouts", type=Path, help="a folder of checkouts: run their kernels, and no packages")
    parser.add_argument("--target", action="append", choices=("trn2", "trn3"), help="both, unless given")
    parser.add_argument("--scratch", type=Path, default=Path("build/foreign"), help="where packages are unpacked")
    parser.add_argument("--seconds", type=int, default=900, help="time for a package on a target (900)")
    parser.add_argument("--json", type=Path, help="write all results here")
    given = parser.parse_args()
    if given.checkouts is not None:
        return _run_checkouts(given.checkouts, given.json)
    unknown = set(given.packages) - set(names)
    if unknown:
        print(f"no package {', '.join(sorted(unknown))}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    rows = []
    for suite in SUITES:
        if not given.packages or suite.package in given.packages:
            source = fetch(suite, given.scratch.resolve())
            rows += [run(suite, source, target, given.seconds) for target in given.target or ("trn2", "trn3")]
            if given.json:
                given.json.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1), "utf-8")
    print(table(rows))
    return 0 if all(row.counts and not row.counts.get("fail") for row in rows) else 1


def _run_checkouts(folder: Path, results: Path | None) -> int:
    """Kernels of the repositories that are there."""
    if not folder.is_dir():
        print(f"no folder {folder}", file=sys.stderr)
        return 2
    verdicts = checkouts.run_all(folder)
    print("\n" + checkouts.summary(verdicts))
    if results:
        results.write_text(json.dumps([dataclasses.asdict(verdict) for verdict in verdicts], indent=1), "utf-8")
    return 1 if any(map(bad, verdicts)) or not any(map(checkouts.ran, verdicts)) else 0


if __name__ == "__main__":
    sys.exit(main())
