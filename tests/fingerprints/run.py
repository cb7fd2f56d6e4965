"""Writes what fixed calls give, or compares it with what they gave before a change.

    python tests/fingerprints/run.py --write before.json
    python tests/fingerprints/run.py --against before.json

A fingerprint is the hash of every output, the number of instructions by opcode and core, and the predicted latency with
the version of its clock; of a refused request, what was said. Exit status 1 when one differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING, RESPECTS = "the call", ("outputs", "refused", "instructions", "latency_us")

sys.path.insert(0, str(ROOT / "tests"))
from fingerprints.calls import Call, calls  # noqa: E402
from nkimoe import RequestError  # noqa: E402
from nkisim.observe import Event, Finding, Observer  # noqa: E402
from nkisim.report.files import write_whole  # noqa: E402
from nkisim.timing import CLOCK  # noqa: E402


class Opcodes(Observer):
    """Counts instructions by core and opcode."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def on_instruction(self, event: Event) -> list[Finding]:
        self.counts[f"{event.core} {event.opcode}"] += 1
        return []


def fingerprint(call: Call) -> dict[str, Any]:
    """What a call gives."""
    opcodes = Opcodes()
    try:
        run = call(opcodes)
    except RequestError as refusal:
        return {"refused": str(refusal)}
    outputs = run.outputs if isinstance(run.outputs, tuple) else (run.outputs,)
    return {
        "outputs": [_hash(each) for each in outputs],
        "instructions": dict(sorted(opcodes.counts.items())),
        "latency_us": run.profile.latency_us,
        "clock": CLOCK,
    }


def _hash(array: Any) -> str:
    content = np.ascontiguousarray(array)
    return hashlib.sha256(f"{content.dtype} {content.shape}".encode() + content.tobytes()).hexdigest()


class Difference(NamedTuple):
    """What of a call changed, and how."""

    name: str
    what: str
    how: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what} {self.how}"


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[Difference]:
    """All that changed. Latencies of two clocks do not compare."""
    changed = [Difference(name, EVERYTHING, f"is only {where}") for where, a, b in
               (("before", before, now), ("now", now, before)) for name in a if name not in b]  # fmt: skip
    for name in sorted(before.keys() & now.keys()):
        same_clock = before[name].get("clock") == now[name].get("clock")
        apart = {"clock"} if same_clock else {"clock", "latency_us"}
        for what in sorted((before[name].keys() | now[name].keys()) - apart):
            old, new = before[name].get(what), now[name].get(what)
            if old != new:
                changed.append(Difference(name, what, f"was {old}, is {new}"))
    return changed


def summary(before: dict[str, Any], changed: list[Difference]) -> str:
    """How many calls are as before, in all and in each respect."""
    apart = {what: {each.name for each in changed if each.what in (what, EVERYTHING)} for what in RESPECTS}
    counts = ", ".join(f"{what} {len(before) - len(names & before.keys())}" for what, names in apart.items())
    same = len(before) - len({each.name for each in changed} & before.keys())
    return f"{same} of {len(before)} as before ({counts})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--against", type=Path, metavar="FILE")
    options = parser.parse_args()
    before = json.loads(options.against.read_text("utf-8")) if options.against else None
    now = {}
    for name, call in calls():
        now[name] = fingerprint(call)
        print(f"{name}: {now[name].get('refused') or now[name]['latency_us']}", flush=True)
    if options.write:
        write_whole(options.write, json.dumps(now, indent=1) + "\n")
    if before is None:
        print(f"{len(now)} fingerprints, {sum('refused' in each for each in now.values())} of them refusals")
        return 0
    changed = differences(before, now)
    print(*changed, sep="\n", end="\n" if changed else "")
    print(f"{len(now)} fingerprints: {summary(before, changed)}")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
