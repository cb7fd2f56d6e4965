"""Counts of a run: printed a family at a time, and written as JSON."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

STATUSES = ("pass", "fail", "refused", "error", "timeout", "peer bug", "older nki", "skipped")


def counts(results: list[dict[str, Any]]) -> dict[str, int]:
    """Cases by status, every status named."""
    found = Counter(result["status"] for result in results)
    return {status: found[status] for status in STATUSES}


def case_line(result: dict[str, Any]) -> str:
    """One line of progress."""
    what = " ".join(str(result.get(key, "")) for key in ("code", "message")).strip().splitlines()
    said = f"  {what[0][:110]}" if what and result["status"] != "pass" else ""
    return f"  {result['status']:8s} {result.get('seconds', 0):6.1f} s  {result['name'][:90]}{said}"


def gap_of(result: dict[str, Any]) -> str:
    """What a case met, without the values of this case, so that equal problems count together."""
    first = (str(result.get("message", "")).strip().splitlines() or [""])[0]
    first = re.sub(r"\([^()]*\.py:\d+\)", "", first)
    return f"{result.get('code', '')}: " + re.sub(r"\d+", "N", first)[:200]


def gaps(families: dict[str, list[dict[str, Any]]]) -> list[tuple[str, int, list[str]]]:
    """Problems, most frequent first, with the families that meet them."""
    number: Counter[str] = Counter()
    where: dict[str, dict[str, None]] = {}
    for name, results in families.items():
        for result in results:
            if result["status"] in ("refused", "error"):
                gap = gap_of(result)
                number[gap] += 1
                where.setdefault(gap, {})[name] = None
    return [(gap, count, list(where[gap])) for gap, count in number.most_common()]


def table(families: dict[str, list[dict[str, Any]]], sizes: dict[str, int]) -> str:
    """Counts by family, how many cases it has in all, and their sums."""
    rows = {name: counts(results) | {"of": sizes[name]} for name, results in families.items()}
    rows["all"] = counts([result for results in families.values() for result in results]) | {"of": sum(sizes.values())}
    width = max(len(name) for name in rows)
    lines = [" " * width + "".join(f"{column:>10s}" for column in (*STATUSES, "of"))]
    lines += [f"{name:{width}s}" + "".join(f"{count:10d}" for count in row.values()) for name, row in rows.items()]
    return "\n".join(lines)


def commit_of(checkout: Path) -> str:
    """Which version of the peer ran."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else "not a git checkout"


def save(
    path: Path, families: dict[str, list[dict[str, Any]]], sizes: dict[str, int], versions: dict[str, str]
) -> None:
    """Everything as JSON; `sizes` says how many cases each family has in all."""
    document = {
        "schema_version": 1,
        "versions": versions,
        "cases": sizes,
        "counts": {name: counts(results) for name, results in families.items()},
        "gaps": [{"problem": gap, "cases": count, "families": where} for gap, count, where in gaps(families)],
        "families": families,
    }
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
