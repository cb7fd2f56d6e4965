"""`python -m conformance --nkilib CHECKOUT --samples CHECKOUT --aiter CHECKOUT [FAMILY ...]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from conformance import report
from conformance.families import FAMILIES
from conformance.run import Settings, run_family


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help="all, unless named: " + ", ".join(_names()))
    parser.add_argument("--nkilib", type=Path, help="checkout of nki-library")
    parser.add_argument("--samples", type=Path, help="checkout of nki-samples")
    parser.add_argument("--sdk", type=Path, help="the folder nki of the SDK's documents, for its examples")
    parser.add_argument("--aiter", type=Path, help="checkout of aiter, for the torch references of its tests")
    parser.add_argument("--cases", type=int, default=8, help="most cases a family (8)")
    parser.add_argument("--parallel", type=int, default=2, help="cases at a time (2)")
    parser.add_argument("--seconds", type=int, default=0, help="time for a case, instead of its family's")
    parser.add_argument("--memory", type=float, default=10.0, help="GiB a case may take (10)")
    parser.add_argument("--only", default="", help="regular expression on names of cases")
    parser.add_argument("--full-size", action="store_true", help="no smaller sizes (hours, and 64 GiB)")
    parser.add_argument("--json", type=Path, help="write all results here")
    return parser.parse_args()


def _names() -> list[str]:
    return [family.name for family in FAMILIES]


def main() -> int:
    """Run, print, save. Fails only if a kernel gave wrong numbers."""
    given = _arguments()
    unknown = set(given.families) - set(_names())
    if unknown:
        print(f"no family {', '.join(sorted(unknown))}; there are {', '.join(_names())}", file=sys.stderr)
        return 2
    places = {"nkilib": given.nkilib, "samples": given.samples, "sdk": given.sdk, "aiter": given.aiter}
    checkouts = {source: path.resolve() for source, path in places.items() if path}
    settings = Settings(
        checkouts, given.cases, given.parallel, given.seconds, given.memory, given.only, given.full_size
    )
    versions = {source: report.commit_of(path) for source, path in checkouts.items()}
    results: dict[str, list[dict[str, Any]]] = {}
    sizes: dict[str, int] = {}
    for family in FAMILIES:
        if settings.checkout(family) is not None and (not given.families or family.name in given.families):
            results[family.name], sizes[family.name] = _one_family(family, settings)
            if given.json:
                report.save(given.json, results, sizes, versions)
    if not results:
        print("nothing to run: give --nkilib, --samples or --aiter a checkout", file=sys.stderr)
        return 2
    _summary(results, sizes)
    return 1 if any(result["status"] == "fail" for cases in results.values() for result in cases) else 0


def _one_family(family: Any, settings: Settings) -> tuple[list[dict[str, Any]], int]:
    """Its results, and how many cases it has."""
    print(family.name, flush=True)
    results, size = [], 0
    for line in run_family(family, settings):
        if "chosen" in line:
            size = line["cases"]
            print(f"  {line['chosen']} of {size} cases", flush=True)
        else:
            results.append(line)
            print(report.case_line(line), flush=True)
    return results, size


def _summary(results: dict[str, list[dict[str, Any]]], sizes: dict[str, int]) -> None:
    print("\nwhat stood in the way")
    for gap, count, where in report.gaps(results):
        print(f"  {count:4d}  {gap}  [{', '.join(where)}]")
    print("\n" + report.table(results, sizes))
    total = report.counts([result for cases in results.values() for result in cases])
    print(", ".join(f"{count} {status}" for status, count in total.items()))


if __name__ == "__main__":
    sys.exit(main())
